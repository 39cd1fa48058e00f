"""A support vector machine's probabilities: the class that wins its duels, and by how much."""

import numpy as np
import pytest
from helpers.repository import TOP
from sklearn.svm import SVC

from stages.classifiers import svm
from stages.classifiers.base import MODEL_FILE
from stages.classifiers.svm import SvmModel, closest_duels
from stages.fusion.features import Features, unit_length
from stages.params import load_params

SETTINGS = load_params(TOP / "params.yaml").classifiers["svm"]


def machine(classes: int) -> tuple[SVC, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    at = rng.integers(classes, size=300)
    rows = (np.eye(6)[at] + 0.3 * rng.normal(size=(300, 6))).astype(np.float32)
    labels = np.array([f"c{number}" for number in range(classes)])[at]
    return (
        SVC(decision_function_shape="ovo").fit(rows[:200], labels[:200]),
        rows[200:],
        labels[200:],
    )


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_most_probable_class_is_the_one_that_the_machine_predicts(classes):
    estimator, rows, labels = machine(classes)
    features = Features({"block": rows}, {"block": np.ones(100, bool)}, {"block": 1.0}, labels)
    model = SvmModel(estimator)
    found = model.predict_proba(features)
    assert found.dtype == np.float32 and found.shape == (100, classes)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    agree = np.array(model.classes)[found.argmax(axis=1)] == estimator.predict(rows)
    assert agree.mean() > 0.98  # duels that go in a circle have no winner


def test_a_class_is_worth_its_closest_duel():
    # 0 beats 1 by 3 and 2 by 0.5; 1 beats 2 by 2.
    scores = closest_duels(np.array([[3.0, 0.5, 2.0]]), 3)
    np.testing.assert_array_equal(scores, [[0.5, -3.0, -2.0]])
    np.testing.assert_array_equal(closest_duels(np.array([-2.0]), 2), [[2.0, -2.0]])


def test_a_sure_prediction_is_surer_than_a_close_one():
    estimator, rows, labels = machine(3)
    middle = np.full((1, 6), rows.mean(), dtype=np.float32)
    sure = np.eye(6, dtype=np.float32)[:1]
    features = Features(
        {"block": np.vstack([sure, middle])},
        {"block": np.ones(2, bool)},
        {"block": 1.0},
        labels[:2],
    )
    first, second = SvmModel(estimator).predict_proba(features).max(axis=1)
    assert first > second + 0.05


def catalogue(classes: int, seed: int) -> Features:
    """Make products around two centres for each class: no line tells the classes apart."""
    centres, rng = np.random.default_rng(0), np.random.default_rng(seed)
    at, which = rng.integers(classes, size=400), rng.integers(2, size=400)
    rows = centres.normal(size=(classes, 2, 8))[at, which] + 0.4 * rng.normal(size=(400, 8))
    rows = unit_length(rows.astype(np.float32))
    labels = np.array([f"c{number}" for number in range(classes)])[at]
    return Features({"block": rows}, {"block": np.ones(400, bool)}, {"block": 1.0}, labels)


@pytest.mark.parametrize("classes", [2, 4])
def test_beyond_a_number_of_products_it_is_approximated_and_says_much_the_same(tmp_path, classes):
    train, test = catalogue(classes, 1), catalogue(classes, 2)
    exact, approximated = (
        svm.fit(SETTINGS.model_copy(update={"nystroem_above": most}), 3, train, None)
        for most in (400, 399)
    )
    assert isinstance(exact.estimator, SVC) and not isinstance(approximated.estimator, SVC)
    chosen = [model.predict_proba(test).argmax(axis=1) for model in (exact, approximated)]
    truth = np.searchsorted(exact.classes, test.labels)
    assert (chosen[0] == truth).mean() > 0.9
    assert (chosen[0] == chosen[1]).mean() > 0.95
    approximated.save(tmp_path)
    found = svm.load(tmp_path).predict_proba(test)
    assert found.dtype == np.float32 and found.shape == (400, classes)
    np.testing.assert_array_equal(found, approximated.predict_proba(test))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_fewer_landmarks_make_a_smaller_model(tmp_path):
    train = catalogue(3, 1)
    for landmarks in (20, 200):
        settings = SETTINGS.model_copy(update={"nystroem_above": 0, "n_components": landmarks})
        svm.fit(settings, 3, train, None).save(tmp_path / str(landmarks))
    few, many = ((tmp_path / name / MODEL_FILE).stat().st_size for name in ("20", "200"))
    assert few < many / 4
