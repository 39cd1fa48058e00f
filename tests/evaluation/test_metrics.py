import numpy as np
import pytest
from sklearn.metrics import log_loss

from stages.evaluation.metrics import LabeledPredictions, class_scores, scores


def test_a_class_absent_from_test_counts_in_the_means_only_if_it_was_predicted():
    never = LabeledPredictions.from_labels(
        ["a", "b", "c"], ["a", "b"], np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    )
    assert scores(never)["macro_f1"] == 1.0
    assert np.isnan(class_scores(never).f1[2])
    once = LabeledPredictions.from_labels(
        ["a", "b", "c"], ["a", "b"], np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.7]])
    )
    assert scores(once)["macro_f1"] == pytest.approx(1 / 3)
    assert scores(once)["balanced_accuracy"] == 0.5


def test_a_label_that_the_model_does_not_know_counts_as_a_mistake():
    predictions = LabeledPredictions.from_labels(
        ["a", "b"], ["a", "new"], np.array([[0.9, 0.1], [0.6, 0.4]])
    )
    metrics = scores(predictions)
    assert predictions.classes == ["a", "b", "new"]
    assert metrics["accuracy"] == 0.5
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert np.isfinite(metrics["log_loss"])


def test_a_label_that_the_model_does_not_know_is_none_of_its_first_three():
    predictions = LabeledPredictions.from_labels(
        ["a", "b"], ["a", "new"], np.array([[0.9, 0.1], [0.6, 0.4]])
    )
    assert scores(predictions)["top3_accuracy"] == 0.5


def test_of_equally_probable_classes_the_first_comes_first():
    rows = np.array([[0.2, 0.3, 0.2, 0.3], [0.0, 0.0, 0.0, 1.0]])
    predictions = LabeledPredictions.from_labels(list("abcd"), ["a", "c"], rows)
    assert predictions.most_probable(3).tolist() == [[1, 3, 0], [3, 0, 1]]
    assert predictions.most_probable(9).tolist() == [[1, 3, 0, 2], [3, 0, 1, 2]]
    assert rows.tolist() == [[0.2, 0.3, 0.2, 0.3], [0.0, 0.0, 0.0, 1.0]]


def test_the_log_loss_is_scikit_learn_s():
    rng = np.random.default_rng(1)
    rows = rng.dirichlet(np.ones(5), size=40).astype(np.float32)
    rows[:8, 2], rows[8] = 0, np.eye(5)[3]
    labels = rng.choice(list("abcde"), size=40).tolist()
    predictions = LabeledPredictions.from_labels(list("abcde"), labels, rows)
    wanted = log_loss(labels, predictions.normalized(), labels=list("abcde"))
    assert scores(predictions)["log_loss"] == pytest.approx(wanted, rel=1e-12)
