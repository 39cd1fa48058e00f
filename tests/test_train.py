"""Training writes a model, what it was made from, and what it says of the products held out."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from stages import train
from stages.errors import InputError
from stages.evaluate import load_model
from stages.files import sha256_of
from stages.tables import (
    SPLITS,
    facts_of,
    features_schema,
    probabilities_schema,
    read_table,
    vector_column,
    vector_rows,
    write_table,
)

TOP = Path(__file__).parents[1]
FEATURES = Path("data/features/image.parquet")
KINDS = ["logistic_regression", "svm", "random_forest", "mlp"]
CLASSES = ["audio", "cables, long", "games"]
ENCODERS = {
    "resnet50": {"kind": "random", "origin": "seed 42", "revision": None, "sha256": "0" * 64},
    "convnextv2": {"kind": "pretrained", "origin": "hub", "revision": "a1", "sha256": "1" * 64},
}
SCALES = {"resnet50": 0.5**0.5, "convnextv2": 0.5**0.5}
SPLIT = np.array((["train"] * 7 + ["validation", "test", "test"]) * 15)
UNSEEN = [1, 7, 17, 8, 28, 38]  # 1 to train on, 2 for validation, 3 for the test


class Products:
    """A folder with what train reads; a test changes it before it is written."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = YAML(typ="safe").load(TOP / "params.yaml")
        self.params["classifiers"]["random_forest"]["n_estimators"] = 20
        self.params["classifiers"]["mlp"] |= {"branch_units": 16, "hidden_units": 16, "epochs": 6}
        rng = np.random.default_rng(0)
        at = rng.integers(3, size=len(SPLIT))
        self.labels = np.array(CLASSES)[at]
        self.rows = {
            name: rng.normal(size=(3, size))[at] + 0.5 * rng.normal(size=(len(at), size))
            for name, size in (("resnet50", 10), ("convnextv2", 6))
        }

    def write(self) -> None:
        with Path("params.yaml").open("w") as file:
            YAML().dump(self.params, file)
        present = ~np.isin(np.arange(len(SPLIT)), UNSEEN)
        skus = [f"s{at:03d}" for at in range(len(SPLIT))]
        columns = [
            *map(pa.array, (skus, self.labels.tolist(), SPLIT.tolist())),
            *(
                vector_column(rows / np.linalg.norm(rows, axis=1, keepdims=True), present)
                for rows in self.rows.values()
            ),
        ]
        schema = features_schema({name: rows.shape[1] for name, rows in self.rows.items()})
        facts = {"encoders": ENCODERS, "scales": SCALES}
        write_table(FEATURES, pa.table(columns, schema=schema), facts)


@pytest.fixture
def products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Products:
    monkeypatch.chdir(tmp_path)
    return Products()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    def run(kind: str = "logistic_regression") -> Path:
        monkeypatch.setattr(sys, "argv", ["train", "--modality", "image", "--classifier", kind])
        train.main()
        return Path("models") / f"image-{kind}"

    return run


def test_it_answers_for_the_held_out_products_that_it_can_see(products, run):
    products.write()
    table = read_table(run() / "probabilities.parquet", probabilities_schema(3))
    splits = read_table(FEATURES).select(SPLITS.names).to_pylist()
    wanted = [row for at, row in enumerate(splits) if row["split"] != "train" and at not in UNSEEN]
    assert table.select(SPLITS.names).to_pylist() == wanted
    rows, present = vector_rows(table["probabilities"])
    assert present.all()
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    assert facts_of(table) == {
        "classes": CLASSES,
        "weights": {"resnet50": "random", "convnextv2": "pretrained"},
        "unseen": {"validation": 2, "test": 3},
    }


def test_evaluate_reads_what_train_wrote(products, run):
    products.write()
    run()
    model = load_model("image", "logistic_regression")
    assert len(model.skus) == 30 - 3 and model.unseen == 3
    assert model.weights == {"resnet50": "random", "convnextv2": "pretrained"}
    assert model.test_scores["accuracy"] > 0.9


def test_model_json_says_what_the_model_was_made_from(products, run):
    products.write()
    provenance = json.loads((run("svm") / "model.json").read_text(encoding="utf-8"))
    assert provenance == {
        "classifier": {"kind": "svm", **products.params["classifiers"]["svm"]},
        "seed": products.params["seed"],
        "features_sha256": sha256_of(FEATURES),
        "encoders": ENCODERS,
        "classes": CLASSES,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_products_change_nothing_in_a_model(products, run, kind):
    products.write()
    folder = run(kind)
    own = {"probabilities.parquet", "model.json"}  # which do name what is held out
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    rng = np.random.default_rng(1)
    test = SPLIT == "test"
    products.labels[test] = rng.permutation(products.labels[test])
    for rows in products.rows.values():
        rows[test] = rng.normal(size=rows[test].shape)
    products.write()
    after = {path.name: path.read_bytes() for path in run(kind).iterdir()}
    assert before.keys() == after.keys() and before.keys() - own
    assert {name for name in before if before[name] != after[name]} == own

    held_out = SPLIT[~np.isin(np.arange(len(SPLIT)), UNSEEN) & (SPLIT != "train")]
    answers = [
        vector_rows(read_table(path)["probabilities"])[0][held_out == "validation"]
        for path in (write(before), folder / "probabilities.parquet")
    ]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


def write(files: dict[str, bytes]) -> Path:
    path = Path("before.parquet")
    path.write_bytes(files["probabilities.parquet"])
    return path


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("one class", "are of 1 classes; two are needed"), ("no validation", "no validation product")],
)
def test_too_few_products_are_refused_and_nothing_is_written(products, run, wrong, said):
    if wrong == "one class":
        products.labels[SPLIT == "train"] = CLASSES[0]
    else:
        products.labels[SPLIT == "validation"] = "another"
    products.write()
    with pytest.raises(InputError, match=f"image: .*{said}"):
        run()
    assert not Path("models").exists()


def test_a_failure_leaves_the_old_model_as_it_was(products, run, monkeypatch):
    products.write()
    folder = run()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fails(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "write_table", fails)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
