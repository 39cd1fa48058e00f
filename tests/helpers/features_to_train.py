"""A folder with what train reads: parameters, splits and features."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from helpers.encoders import described_encoder
from helpers.repository import TOP
from ruamel.yaml import YAML

from stages.common.paths import FEATURES, SPLITS
from stages.common.splits import Splits, write_splits
from stages.common.tables import (
    features_schema,
    from_arrow,
    probabilities_schema,
    read_table,
    to_arrow,
    write_table,
)

CLASSES = ["audio", "cables, long", "games"]
ENCODERS = {
    "resnet50": described_encoder("resnet50", "image"),
    "minilm": described_encoder("minilm", "text", kind="pretrained", origin="hub", revision="a1"),
}
SIZES = {"resnet50": 10, "minilm": 6}
WEIGHTS = {"resnet50": 0.5**0.5, "minilm": 0.5**0.5}
METADATA = {
    "encoders": ENCODERS,
    "inputs": {"resnet50": "image", "minilm": "text"},
    "n_features": SIZES,
    "svd_components": {},
    "modalities": {"text": {"minilm": 1.0}, "multimodal": WEIGHTS},
}
N = 120
FIRST = np.array((["train"] * 6 + ["validation", "validation", "test", "test"]) * (N // 10))
FOLDS = np.column_stack([FIRST, np.roll(FIRST, 5)])
NO_TURNS = np.zeros(FOLDS.shape, dtype=np.int32)
IN_TURNS = np.where(FIRST == "test", "test", "validation")[:, None]
TURNS = np.where(FIRST == "test", 0, np.arange(N) % 2 + 1).astype(np.int32)[:, None]
WITHOUT_IMAGE = np.arange(N) % 7 == 3
WITHOUT_TEXT = np.arange(N) % 11 == 5


class Products:
    """A folder with what train reads; a test changes it before it is written."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = YAML(typ="safe").load(TOP / "params.yaml")
        self.params["classifiers"]["random_forest"]["n_estimators"] = 10
        self.params["classifiers"]["mlp"] |= {"branch_units": 8, "hidden_units": 8, "max_epochs": 3}
        self.roles, self.turns = FOLDS, NO_TURNS
        self.modalities: dict[str, dict[str, float]] = METADATA["modalities"]
        rng = np.random.default_rng(0)
        at = rng.integers(3, size=N)
        self.labels = np.array(CLASSES)[at]
        self.rows = {
            name: rng.normal(size=(3, size))[at] + 1.2 * rng.normal(size=(N, size))
            for name, size in SIZES.items()
        }

    def write(self) -> None:
        Path("params.yaml").write_text(json.dumps(self.params))
        skus = np.array([f"s{at:03d}" for at in range(N)], dtype=object)
        groups = np.array([f"g{at // 2}" for at in range(N)], dtype=object)
        turns = self.turns[:, : self.roles.shape[1]]
        write_splits(SPLITS, Splits(skus, self.labels, groups, self.roles, turns))
        present = {"resnet50": ~WITHOUT_IMAGE, "minilm": ~WITHOUT_TEXT}
        blocks = [
            to_arrow(rows / np.linalg.norm(rows, axis=1, keepdims=True), present[name])
            for name, rows in self.rows.items()
        ]
        table = pa.table([pa.array(skus.tolist()), *blocks], schema=features_schema(SIZES))
        write_table(FEATURES, table, METADATA | {"modalities": self.modalities})


def predictions(folder: Path, **wanted: Any) -> dict[tuple[str, int], np.ndarray]:
    """Return the probabilities by sku and fold, of the rows that hold what is wanted."""
    table = read_table(folder / "probabilities.parquet", probabilities_schema(len(CLASSES)))
    rows, _ = from_arrow(table["probabilities"])
    return {
        (row["sku"], row["fold"]): vector
        for row, vector in zip(table.to_pylist(), rows, strict=True)
        if all(row[name] == value for name, value in wanted.items())
    }
