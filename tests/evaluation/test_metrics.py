import numpy as np
import pytest

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
