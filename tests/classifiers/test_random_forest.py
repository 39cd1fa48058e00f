"""What a forest says of classes that none of its trees votes for."""

import numpy as np
import pytest
from helpers.repository import TOP

from stages.classifiers.random_forest import Classifier
from stages.fusion.calibration import fit_pool
from stages.params import load_params

N_CLASSES, TURNS = 6, 5


def noisy(n: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Make products around a centre per class; every tenth has the label of another class."""
    centres = np.random.default_rng(0).normal(size=(N_CLASSES, 12))
    rng = np.random.default_rng(seed)
    y = rng.integers(N_CLASSES, size=n)
    rows = centres[y] + 0.7 * rng.normal(size=(n, 12))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    wrong = rng.random(n) < 0.1
    y[wrong] = rng.integers(N_CLASSES, size=wrong.sum())
    return {"words": rows.astype(np.float32)}, y


def fit(X: dict[str, np.ndarray], y: np.ndarray) -> Classifier:
    settings = load_params(TOP / "params.yaml").classifiers["random_forest"]
    return Classifier(settings, 3, {"words": 1.0}).fit(X, y.astype(str))


@pytest.fixture(scope="module")
def forest() -> Classifier:
    return fit(*noisy(600, 1))


def test_no_class_is_impossible_and_the_order_of_all_is_that_of_the_votes(forest):
    X, _ = noisy(200, 2)
    found, votes = forest.predict_proba(X), forest.estimator.predict_proba(X["words"])
    assert found.dtype == np.float32 and found.min() > 0 and (votes == 0).any()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(axis=1), votes.argmax(axis=1))


def test_it_is_as_sure_as_it_is_right_where_some_labels_are_wrong(forest):
    X, y = noisy(600, 1)
    held_out = np.empty((len(y), N_CLASSES))
    for turn in range(TURNS):
        rows = np.arange(len(y)) % TURNS == turn
        one = fit({"words": X["words"][~rows]}, y[~rows])
        held_out[rows] = one.predict_proba({"words": X["words"][rows]})
    pool = fit_pool({"both": held_out}, y, np.bincount(y) / len(y))
    new, labels = noisy(2000, 2)
    found = pool.predict_proba({"both": forest.predict_proba(new)})
    is_right = found.argmax(axis=1) == labels
    assert found.max(axis=1).mean() == pytest.approx(is_right.mean(), abs=0.06)  # 0.09 by votes
    assert -np.log(found[np.arange(len(labels)), labels]).mean() < 0.65  # 0.74 by votes
