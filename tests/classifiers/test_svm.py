"""A support vector machine's probabilities: the class that wins its duels, and by how much."""

import tracemalloc
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from helpers.repository import TOP
from scipy.special import softmax
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import normalize
from sklearn.svm import SVC

from stages.classifiers.base.arrays import ARRAYS_FILE
from stages.classifiers.svm import Classifier, closest_duels
from stages.common import large_arrays
from stages.common.errors import InputError
from stages.common.files import read_json, write_json
from stages.params import load_params

SETTINGS = load_params(TOP / "params.yaml").classifiers["svm"]


def fitted(settings: Any, X: dict[str, np.ndarray], y: np.ndarray) -> Classifier:
    return Classifier(settings, 3, {"block": 1.0}).fit(X, y)


def products(classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    at = rng.integers(classes, size=300)
    rows = (np.eye(6)[at] + 0.3 * rng.normal(size=(300, 6))).astype(np.float32)
    return rows, np.array([f"c{number}" for number in range(classes)])[at]


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_it_is_scikit_learns_machine(classes, class_weight):
    rows, labels = products(classes)
    gamma = float(1 / (6 * rows[:200].var()))
    settings = SETTINGS.model_copy(update={"C": 1.0, "gamma": gamma, "class_weight": class_weight})
    model = fitted(settings, {"block": rows[:200]}, labels[:200])
    estimator = SVC(
        C=settings.C,
        gamma=settings.gamma,
        class_weight=class_weight,
        decision_function_shape="ovo",
    ).fit(rows[:200].astype(np.float64), labels[:200])
    found = model.predict_proba({"block": rows[200:]})
    assert found.dtype == np.float32 and found.shape == (100, classes)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    decisions = estimator.decision_function(rows[200:])
    if classes == 2:  # positive where the second wins
        decisions = -decisions[:, None]
    np.testing.assert_allclose(found, softmax(closest_duels(decisions, classes), axis=1), atol=1e-6)
    agree = np.array(model.classes_)[found.argmax(axis=1)] == estimator.predict(rows[200:])
    assert agree.mean() > 0.98  # duels that go in a circle have no winner


def test_a_class_is_worth_its_closest_duel():
    # 0 beats 1 by 3 and 2 by 0.5; 1 beats 2 by 2.
    scores = closest_duels(np.array([[3.0, 0.5, 2.0]]), 3)
    np.testing.assert_array_equal(scores, [[0.5, -3.0, -2.0]])
    np.testing.assert_array_equal(closest_duels(np.array([[-2.0]]), 2), [[-2.0, 2.0]])


def test_a_sure_prediction_is_surer_than_a_close_one():
    rows, labels = products(3)
    model = fitted(SETTINGS, {"block": rows[:200]}, labels[:200])
    middle = np.full((1, 6), rows[200:].mean(), dtype=np.float32)
    sure = np.eye(6, dtype=np.float32)[:1]
    first, second = model.predict_proba({"block": np.vstack([sure, middle])}).max(axis=1)
    assert first > second + 0.05


def test_a_second_fit_replaces_the_first():
    rows, labels = products(3)
    model = fitted(SETTINGS, {"block": rows[:100]}, labels[:100])
    model.predict_proba({"block": rows})
    again = model.fit({"block": rows[100:]}, labels[100:]).predict_proba({"block": rows})
    once = fitted(SETTINGS, {"block": rows[100:]}, labels[100:]).predict_proba({"block": rows})
    np.testing.assert_array_equal(again, once)


def catalogue(classes: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Make products around two centres for each class: no line tells the classes apart."""
    centres, rng = np.random.default_rng(0), np.random.default_rng(seed)
    at, which = rng.integers(classes, size=400), rng.integers(2, size=400)
    rows = centres.normal(size=(classes, 2, 8))[at, which] + 0.4 * rng.normal(size=(400, 8))
    rows = normalize(rows).astype(np.float32)
    labels = np.array([f"c{number}" for number in range(classes)])[at]
    return {"block": rows}, labels


@pytest.mark.parametrize("classes", [2, 4])
def test_beyond_a_number_of_products_it_is_approximated_and_says_much_the_same(tmp_path, classes):
    train, (X, y) = catalogue(classes, 1), catalogue(classes, 2)
    exact, approximated = (
        fitted(SETTINGS.model_copy(update={"nystroem_above": most}), *train) for most in (400, 399)
    )
    given = [model.predict_proba(X) for model in (exact, approximated)]
    assert np.abs(given[0] - given[1]).max() > 0.01
    chosen = [probabilities.argmax(axis=1) for probabilities in given]
    truth = np.searchsorted(exact.classes_, y)
    assert (chosen[0] == truth).mean() > 0.9
    assert (chosen[0] == chosen[1]).mean() > 0.95
    approximated.save(tmp_path)
    found = Classifier.load(tmp_path).predict_proba(X)
    assert found.dtype == np.float32 and found.shape == (400, classes)
    np.testing.assert_array_equal(found, approximated.predict_proba(X))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("classes", [2, 4])
def test_an_approximated_machine_is_scikit_learns_ridge_regression(
    monkeypatch, classes, class_weight
):
    monkeypatch.setattr(large_arrays, "ROWS", 64)
    (X, y), (V, _) = catalogue(classes, 1), catalogue(classes, 2)
    changed = {"nystroem_above": 0, "n_components": 100, "class_weight": class_weight}
    own = SETTINGS.model_copy(update=changed)
    kernel = Nystroem(gamma=own.gamma, n_components=100, random_state=3)
    rows = kernel.fit_transform(X["block"]).astype(np.float64)
    ridge = RidgeClassifier(1 / own.C, class_weight=class_weight).fit(rows, y)
    scores = ridge.decision_function(kernel.transform(V["block"]).astype(np.float64))
    if classes == 2:  # positive where the second wins
        scores = np.stack([-scores, scores], axis=1)
    found = fitted(own, X, y).predict_proba(V)
    np.testing.assert_allclose(found, softmax(scores, axis=1), atol=5e-4)  # kernels in float32


def test_a_c_that_is_too_large_for_products_that_are_alike_is_said():
    rows, labels = products(3)
    settings = SETTINGS.model_copy(update={"C": 1e12, "nystroem_above": 0})
    with pytest.raises(InputError, match=r"C is 1e\+12, .* of 300 components .*: lower the class"):
        fitted(settings, {"block": np.vstack([rows[:150]] * 2)}, np.tile(labels[:150], 2))


def test_many_classes_take_little_disk_and_memory(tmp_path):
    rng = np.random.default_rng(0)
    at = np.repeat(np.arange(200), 5)
    X = {"block": normalize(np.eye(200)[at] + 0.05 * rng.normal(size=(1000, 200))).astype("f4")}
    model = fitted(SETTINGS, X, at.astype(str))
    model.save(tmp_path)
    size = (tmp_path / ARRAYS_FILE).stat().st_size
    assert size < 5e6  # with a number for each vector and pair of classes 160 MB
    tracemalloc.start()
    found = model.predict_proba(X)
    assert tracemalloc.get_traced_memory()[1] < 400e6  # all at once would take 640 MB or more
    tracemalloc.stop()
    assert (np.array(model.classes_)[found.argmax(axis=1)] == at.astype(str)).all()


@pytest.mark.parametrize("n_support", [[100, 100], [1], ["1", "2", "3"], [1.5, 1.5, 1.0], "321"])
def test_vectors_that_are_of_no_class_are_refused(tmp_path, n_support):
    rows, labels = products(3)
    fitted(SETTINGS, {"block": rows}, labels).save(tmp_path)
    build = read_json(tmp_path / Classifier.build_file)
    write_json(tmp_path / Classifier.build_file, build | {"n_support": n_support})
    with pytest.raises(InputError, match="describes no classifier"):
        Classifier.load(tmp_path)


def test_a_machine_of_an_older_version_says_to_use_that_or_to_train_it_anew(tmp_path):
    rows, labels = products(3)
    fitted(SETTINGS, {"block": rows}, labels).save(tmp_path)
    file = tmp_path / Classifier.build_file
    write_json(file, {key: one for key, one in read_json(file).items() if key != "n_support"})
    with pytest.raises(InputError, match=r"use the version that trained it, or train it anew"):
        Classifier.load(tmp_path)
    file.rename(tmp_path / "model.skops")  # in which the first versions kept it
    with pytest.raises(InputError, match=r"if it is of an older version, use that or train it an"):
        Classifier.load(tmp_path)


def test_a_machine_that_may_not_be_read_is_not_said_to_be_of_another_version(tmp_path, monkeypatch):
    rows, labels = products(3)
    fitted(SETTINGS, {"block": rows}, labels).save(tmp_path)
    refused = PermissionError(13, "Permission denied")
    monkeypatch.setattr(Path, "read_bytes", Mock(side_effect=refused))
    with pytest.raises(PermissionError):
        Classifier.load(tmp_path)


def test_fewer_components_make_a_smaller_model(tmp_path):
    train = catalogue(3, 1)
    for n_components in (20, 200):
        settings = SETTINGS.model_copy(update={"nystroem_above": 0, "n_components": n_components})
        fitted(settings, *train).save(tmp_path / str(n_components))
    few, many = ((tmp_path / name / ARRAYS_FILE).stat().st_size for name in ("20", "200"))
    assert few < many / 4
