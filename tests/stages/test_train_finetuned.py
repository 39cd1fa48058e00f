"""What tunes a network sees the texts of training products alone, and is served like others."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from helpers.encoders import described_encoder
from helpers.repository import TOP
from helpers.text_networks import write_text_network
from ruamel.yaml import YAML

from serving import Predictor
from stages import train
from stages.common.paths import FEATURES, PRODUCTS, SPLITS, weights
from stages.common.splits import Splits, write_splits
from stages.common.tables import PRODUCTS as PRODUCTS_SCHEMA
from stages.common.tables import (
    features_schema,
    from_arrow,
    metadata_of,
    read_table,
    to_arrow,
    write_table,
)
from stages.encoders.huggingface_text import Settings as TextSettings
from stages.encoders.weights.huggingface import WEIGHTS
from stages.encoders.weights.manifest import Manifest, digest, write_manifest
from stages.fusion.model_file import ENCODERS

N = 90
LABELS = np.array(["balls", "boxes", "cups"])[np.random.default_rng(0).integers(3, size=N)]
# A product's text is a word of its own: only a leak can say what another product is.
WORDS = [f"word{i}" for i in range(N)]
FINETUNED = {"layers": 2, "max_epochs": 12, "learning_rate": 0.003, "batch_size": 8, "patience": 12}
ROLES = np.array(["train", "train", "train", "validation", "test"] * (N // 5))


class Catalogue:
    """A folder with what train reads; a test changes it before it is written."""

    def __init__(self) -> None:
        self.texts = WORDS
        self.roles = ROLES
        self.encoder = "minilm"

    def write(self) -> None:
        params = YAML(typ="safe").load(TOP / "params.yaml")
        params["classifiers"] = {"finetuned": FINETUNED | {"encoder": self.encoder}}
        Path("params.yaml").write_text(json.dumps(params))
        settings = TextSettings(kind="huggingface_text", model="lab/network", max_tokens=16)
        folder = weights("minilm")
        write_text_network(folder, [*WORDS, "balls", "boxes", "cups"])
        manifest = Manifest("pretrained", "lab", None, digest(folder, WEIGHTS))
        write_manifest(folder, manifest, settings.weights_request())
        minilm = described_encoder("minilm", "text", kind="pretrained", sha256=manifest.sha256)
        minilm |= {"settings": settings.model_dump(mode="json"), "fields": ["name"]}
        minilm["weights"]["origin"] = "lab"
        skus = np.array([f"s{i:03d}" for i in range(N)], dtype=object)
        groups = np.array([f"g{i}" for i in range(N)], dtype=object)
        turns = np.zeros((N, 1), dtype=np.int32)
        write_splits(SPLITS, Splits(skus, LABELS, groups, self.roles[:, None], turns))
        texts = [skus.tolist(), self.texts, [""] * N, [""] * N, LABELS.tolist(), [None] * N]
        arrays = [pa.array(c, f.type) for c, f in zip(texts, PRODUCTS_SCHEMA, strict=True)]
        write_table(PRODUCTS, pa.table(arrays, schema=PRODUCTS_SCHEMA))
        vectors = np.random.default_rng(1).normal(size=(N, 32)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        present = np.array([bool(text) for text in self.texts])
        table = pa.table(
            [pa.array(skus.tolist()), to_arrow(vectors, present)],
            schema=features_schema({"minilm": 32}),
        )
        metadata = {
            "encoders": {"minilm": minilm},
            "inputs": {"minilm": "text"},
            "n_features": {"minilm": 32},
            "svd_components": {},
            "modalities": {"text": {"minilm": 1.0}},
        }
        write_table(FEATURES, table, metadata)


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", "--classifier", "finetuned"])
    return Catalogue()


def predictions(role: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return probabilities and labels of the products of a role, and the classes."""
    table = read_table(Path("models/trained/finetuned/text/probabilities.parquet"))
    chosen = np.array(table["role"].to_pylist()) == role
    rows, _ = from_arrow(table["probabilities"])
    labels = np.array(table["label"].to_pylist())
    return rows[chosen], labels[chosen], metadata_of(table.schema)["classes"]


def accuracy(role: str) -> float:
    rows, labels, classes = predictions(role)
    return float((np.array(classes)[rows.argmax(axis=1)] == labels).mean())


def test_it_knows_no_text_of_the_products_that_are_held_out(catalogue):
    catalogue.write()
    train.main()
    assert accuracy("test") < 0.7
    assert accuracy("validation") < 0.7


def test_a_leak_would_be_noticed(catalogue):
    # What is held out has the texts of training products of its class: as good as in training.
    training = {
        label: WORDS[np.flatnonzero((label == LABELS) & (ROLES == "train"))[0]] for label in LABELS
    }
    catalogue.texts = [
        word if role == "train" else training[label]
        for word, role, label in zip(WORDS, ROLES, LABELS, strict=True)
    ]
    catalogue.write()
    train.main()
    assert accuracy("test") > 0.9


def test_new_products_are_judged_as_those_for_testing_were(catalogue):
    catalogue.texts = [f"{label} {word}" for label, word in zip(LABELS, WORDS, strict=True)]
    catalogue.texts[4] = catalogue.texts[3] = ""  # one for testing, one for validation
    catalogue.write()
    train.main()
    model = Path("models/trained/finetuned/text")
    shutil.copytree(weights("minilm"), model / ENCODERS / "minilm")
    rows, _, classes = predictions("test")
    texts = [text for text, role in zip(catalogue.texts, ROLES, strict=True) if role == "test"]
    predictor = Predictor.load(model)
    found = predictor.predict([{"name": text} for text in texts], top=3)
    assert found[0].error == "it has no text"
    assert len(rows) == len(found) - 1
    for row, answer in zip(rows, found[1:], strict=True):
        assert [one.label for one in answer.top] == [
            classes[i] for i in np.argsort(-row, kind="stable")
        ]
        assert answer.probability == pytest.approx(row.max(), abs=1e-6)
    assert (model / "history.csv").read_text().startswith("fold,epoch,train_loss,validation_loss")
