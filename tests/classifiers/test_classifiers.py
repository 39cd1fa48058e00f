"""What every kind of classifier promises, on made-up features."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.repository import TOP

from stages.classifiers.base import module_of
from stages.common.files import sha256_of
from stages.fusion.features import Features
from stages.params import load_params

QUICK: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "svm": {},
    "random_forest": {"n_estimators": 40},
    "mlp": {"batch_size": 16, "max_epochs": 40},
}
SIZES = {"picture": 24, "words": 12}
CLASSES = ["a, b", "Z", "é", "10", "9"]


def settings(kind: str) -> Any:
    """Return a kind's settings in params.yaml, made quick."""
    known = load_params(TOP / "params.yaml").classifiers[kind]
    return known.model_copy(update=QUICK[kind])


def products(
    classes: list[str], each: int, seed: int, missing: float = 0, noise: float = 0.7
) -> Features:
    """Make `each` products of each class: blocks of unit length around a centre per class."""
    centres = np.random.default_rng(0)
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(classes, each))
    at = [CLASSES.index(label) for label in labels.tolist()]
    blocks, present = {}, {}
    for name, size in SIZES.items():
        around = centres.normal(size=(len(CLASSES), size))[at]
        rows = around + noise * rng.normal(size=(len(at), size))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        present[name] = rng.random(len(at)) >= (missing if name == "picture" else 0)
        blocks[name] = (rows * present[name][:, None]).astype(np.float32)
    return Features(blocks, present, dict.fromkeys(blocks, 0.5**0.5), labels)


def without(features: Features, label: str) -> Features:
    return features.where(features.labels != label)


def cases() -> dict[str, tuple[Features, Features]]:
    """Return, by what is special about them, products to train on and to validate with."""
    train, validation = products(CLASSES, 25, seed=1), products(CLASSES, 4, seed=2)
    return {
        "several classes": (train, validation),
        "two classes": (products(CLASSES[:2], 25, seed=1), products(CLASSES[:2], 4, seed=2)),
        "validation lacks a class": (train, without(validation, "é")),
        "validation has a class more": (without(train, "é"), validation),
        "blocks missing": (products(CLASSES, 25, 1, missing=0.4), products(CLASSES, 4, 2, 0.4)),
    }


@pytest.mark.parametrize("case", cases())
@pytest.mark.parametrize("kind", QUICK)
def test_a_model_answers_and_its_file_answers_the_same(kind, case, tmp_path):
    train, validation = cases()[case]
    model = module_of(kind).fit(settings(kind), 3, train, validation)
    classes = sorted(set(train.labels.tolist()))
    assert model.classes == classes

    test = products(classes, 40, seed=3)
    probabilities = model.predict_proba(test)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (len(test.labels), len(classes))
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    chosen = np.array(classes)[probabilities.argmax(axis=1)]
    assert (chosen == test.labels).mean() > 0.9

    model.save(tmp_path)
    loaded = module_of(kind).load(tmp_path)
    assert loaded.classes == classes
    np.testing.assert_array_equal(loaded.predict_proba(test), probabilities)


@pytest.mark.parametrize("kind", QUICK)
def test_a_product_without_a_block_is_told_by_the_other(kind):
    train, validation = cases()["blocks missing"]
    model = module_of(kind).fit(settings(kind), 3, train, validation)
    test = products(CLASSES, 40, seed=3, missing=1)
    assert not test.present["picture"].any()
    chosen = np.array(model.classes)[model.predict_proba(test).argmax(axis=1)]
    assert (chosen == test.labels).mean() > 0.75


@pytest.mark.parametrize("kind", ["logistic_regression", "svm", "random_forest"])
def test_what_is_not_fitted_in_epochs_does_not_look_at_validation_products(kind):
    train, validation = cases()["several classes"]
    test = products(CLASSES, 40, seed=3)
    answers = [
        module_of(kind).fit(settings(kind), 3, train, held_out).predict_proba(test)
        for held_out in (validation, None)
    ]
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("kind", QUICK)
def test_products_that_cannot_be_told_apart_are_not_told_apart(kind):
    rng = np.random.default_rng(5)
    train, validation, test = (products(CLASSES, each, each) for each in (25, 4, 40))
    for features in (train, validation):
        features.labels[:] = rng.permutation(features.labels)
    model = module_of(kind).fit(settings(kind), 3, train, validation)
    chosen = np.array(model.classes)[model.predict_proba(test).argmax(axis=1)]
    assert (chosen == test.labels).mean() < 0.5


def fit_and_save(folder: Path) -> None:
    """Fit a model of every kind with blocks missing, and save each in a folder of its own."""
    for kind in QUICK:
        (folder / kind).mkdir()
        module_of(kind).fit(settings(kind), 3, *cases()["blocks missing"]).save(folder / kind)


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, str]]]:
    """Run `fit_and_save` in two processes; give the sums of the files that each wrote."""
    folders = [tmp_path_factory.mktemp("run") for _ in range(2)]
    runs = [
        subprocess.Popen(
            [sys.executable, __file__, folder],
            env=os.environ
            | {"PYTHONPATH": f"{TOP}{os.pathsep}{TOP / 'tests'}", "PYTHONHASHSEED": str(at + 1)},
        )
        for at, folder in enumerate(folders)
    ]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    yield [
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
