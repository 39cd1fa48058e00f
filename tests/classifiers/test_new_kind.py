"""A new kind of classifier is one file: nothing else is edited but its entry in params.yaml."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from helpers.encoders import described_encoder
from helpers.repository import TOP
from ruamel.yaml import YAML

from stages.common import paths
from stages.common.splits import Splits, write_splits
from stages.common.tables import features_schema, from_arrow, read_table, to_arrow, write_table

MODULE = '''
"""The nearest centroid of the concatenated blocks."""

from typing import Any

from stages.classifiers.base.estimators import SklearnClassifier
from stages.classifiers.base.interface import ClassifierSettings
from stages.common.settings import PositiveFloat


class Settings(ClassifierSettings):
    """The nearest centroid."""

    shrink_threshold: PositiveFloat | None


class Classifier(SklearnClassifier):
    """The nearest centroid."""

    settings: Settings

    def build(self, n: int, n_features: int) -> Any:
        """Return the estimator to fit."""
        from sklearn.neighbors import NearestCentroid

        return NearestCentroid(shrink_threshold=self.settings.shrink_threshold)
'''
N = 60


def test_a_new_kind_in_one_file_is_trained_and_predicts(tmp_path: Path) -> None:
    shutil.copytree(TOP / "stages", tmp_path / "stages")
    (tmp_path / "stages/classifiers/nearest_centroid.py").write_text(MODULE)
    params = YAML(typ="safe").load(TOP / "params.yaml")
    params["classifiers"]["nearest_centroid"] = {"shrink_threshold": None}
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump(params, file)
    columns = np.arange(N) % 3
    labels = np.array(["a", "b", "c"])[columns]
    skus = np.array([f"s{i}" for i in range(N)], dtype=object)
    roles = np.array(["train", "train", "train", "validation", "test"])[np.arange(N) // 3 % 5]
    splits = Splits(skus, labels, skus, roles[:, None], np.zeros((N, 1), np.int32))
    write_splits(tmp_path / paths.SPLITS, splits)
    rows = np.eye(3)[columns] + 0.1 * np.random.default_rng(0).normal(size=(N, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    schema = features_schema({"words": 3})
    metadata = {
        "encoders": {"words": described_encoder("words", "text")},
        "inputs": {"words": "text"},
        "n_features": {"words": 3},
        "svd_components": {},
        "modalities": {"text": {"words": 1.0}},
    }
    table = pa.table([pa.array(skus.tolist()), to_arrow(rows)], schema=schema)
    write_table(tmp_path / paths.FEATURES, table, metadata)
    subprocess.run(
        [sys.executable, "-m", "stages.train", "--classifier", "nearest_centroid"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=True,
    )
    found = read_table(tmp_path / "models/trained/nearest_centroid/text/probabilities.parquet")
    assert set(found["role"].to_pylist()) == {"validation", "test"}
    probabilities, _ = from_arrow(found["probabilities"])
    wanted = np.searchsorted(["a", "b", "c"], found["label"].to_pylist())
    assert (probabilities.argmax(axis=1) == wanted).mean() > 0.9
