"""What every kind of classifier promises, on made-up features."""

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers.repository import TOP

from stages.classifiers.base.interface import module_of
from stages.common.files import sha256_of
from stages.params import load_params

QUICK: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "svm": {},
    "random_forest": {"n_estimators": 40},
    "mlp": {"batch_size": 16, "max_epochs": 15},
}
SIZES = {"photo": 24, "words": 12}
WEIGHTS = dict.fromkeys(SIZES, 0.5**0.5)
CLASSES = ["a, b", "Z", "é", "10", "9"]


class Products(NamedTuple):
    X: dict[str, np.ndarray]
    y: np.ndarray


def settings(kind: str) -> Any:
    """Return a kind's settings in params.yaml, made quick."""
    known = load_params(TOP / "params.yaml").classifiers[kind]
    return known.model_copy(update=QUICK[kind])


def products(
    classes: list[str], each: int, seed: int, missing: float = 0, noise: float = 0.7
) -> Products:
    """Make `each` products of each class: blocks of unit length around a centre per class."""
    centres = np.random.default_rng(0)
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(classes, each))
    at = [CLASSES.index(label) for label in labels.tolist()]
    blocks = {}
    for name, size in SIZES.items():
        around = centres.normal(size=(len(CLASSES), size))[at]
        rows = around + noise * rng.normal(size=(len(at), size))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        present = rng.random(len(at)) >= (missing if name == "photo" else 0)
        blocks[name] = (rows * present[:, None]).astype(np.float32)
    return Products(blocks, labels)


def without(given: Products, label: str) -> Products:
    others = given.y != label
    return Products({name: rows[others] for name, rows in given.X.items()}, given.y[others])


def fitted(kind: str, train: Products, validation: Products | None) -> Any:
    return module_of(kind).Classifier(settings(kind), 3, WEIGHTS).fit(*train, validation)


def cases() -> dict[str, tuple[Products, Products]]:
    """Return, by what is special about them, products to train on and to validate with."""
    train, validation = products(CLASSES, 25, seed=1), products(CLASSES, 4, seed=2)
    return {
        "several classes": (train, validation),
        "two classes": (products(CLASSES[:2], 25, seed=1), products(CLASSES[:2], 4, seed=2)),
        "validation lacks a class": (train, without(validation, "é")),
        "validation has a class more": (without(train, "é"), validation),
        "blocks missing": (products(CLASSES, 25, 1, missing=0.4), products(CLASSES, 4, 2, 0.4)),
    }


@functools.cache
def fitted_to(kind: str, case: str) -> Any:
    """Return a classifier that was fitted to a case; the tests share it."""
    return fitted(kind, *cases()[case])


@pytest.mark.parametrize("case", cases())
@pytest.mark.parametrize("kind", QUICK)
def test_a_classifier_predicts_the_same_after_it_is_saved_and_loaded(kind, case, tmp_path):
    model = fitted_to(kind, case)
    classes = sorted(set(cases()[case][0].y.tolist()))
    assert model.classes_ == classes

    test = products(classes, 40, seed=3)
    probabilities = model.predict_proba(test.X)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (len(test.y), len(classes))
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    chosen = np.array(classes)[probabilities.argmax(axis=1)]
    assert (chosen == test.y).mean() > 0.9

    model.save(tmp_path)
    loaded = module_of(kind).Classifier.load(tmp_path)
    assert loaded.classes_ == classes
    np.testing.assert_array_equal(loaded.predict_proba(test.X), probabilities)


@pytest.mark.parametrize("kind", QUICK)
def test_a_product_without_a_block_is_classified_by_the_other(kind):
    model = fitted_to(kind, "blocks missing")
    test = products(CLASSES, 40, seed=3, missing=1)
    assert not test.X["photo"].any()
    chosen = np.array(model.classes_)[model.predict_proba(test.X).argmax(axis=1)]
    assert (chosen == test.y).mean() > 0.75


@pytest.mark.parametrize("kind", ["logistic_regression", "svm", "random_forest"])
def test_what_is_not_fitted_in_epochs_does_not_look_at_validation_products(kind):
    train, validation = cases()["several classes"]
    test = products(CLASSES, 40, seed=3)
    predictions = [
        fitted(kind, train, held_out).predict_proba(test.X) for held_out in (validation, None)
    ]
    np.testing.assert_array_equal(*predictions)


@pytest.mark.parametrize("kind", QUICK)
def test_classes_that_are_digits_are_balanced_as_others_are(kind):
    balanced = settings(kind).model_copy(update={"class_weight": "balanced"})
    train, test = products(["9", "Z"], 20, seed=1), products(["9", "Z"], 20, seed=3)
    found = []
    for names in (["9", "Z"], ["A", "Z"]):  # in one order
        labels = np.where(train.y == "Z", *names[::-1])
        model = module_of(kind).Classifier(balanced, 42, WEIGHTS).fit(train.X, labels)
        assert model.classes_ == names
        found.append(model.predict_proba(test.X))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("kind", QUICK)
def test_products_that_cannot_be_told_apart_are_not_told_apart(kind):
    rng = np.random.default_rng(5)
    train, validation, test = (products(CLASSES, each, each) for each in (25, 4, 40))
    for given in (train, validation):
        given.y[:] = rng.permutation(given.y)
    model = fitted(kind, train, validation)
    chosen = np.array(model.classes_)[model.predict_proba(test.X).argmax(axis=1)]
    assert (chosen == test.y).mean() < 0.5


def fit_and_save(folder: Path) -> None:
    """Fit a model of every kind with blocks missing, and save each in a folder of its own."""
    for kind in QUICK:
        (folder / kind).mkdir()
        fitted_to(kind, "blocks missing").save(folder / kind)


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Run `fit_and_save` here and in another process; give the sums of the files of each."""
    folders = [tmp_path_factory.mktemp("run") for _ in range(2)]
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    path = f"{TOP}{os.pathsep}{TOP / 'tests'}"
    environment = os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": seed}
    command = [sys.executable, __file__, folders[1]]
    subprocess.run(command, env=environment, timeout=120, check=True)
    fit_and_save(folders[0])
    return [
        {
            str(path.relative_to(folder)): sha256_of(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        for folder in folders
    ]


@pytest.mark.parametrize("kind", QUICK)
def test_two_processes_write_the_same_bytes(kind, twice):
    one, other = ({n: s for n, s in run.items() if n.startswith(f"{kind}/")} for run in twice)
    assert one and one == other


if __name__ == "__main__":
    fit_and_save(Path(sys.argv[1]))
