import numpy as np
import pytest

from stages.evaluation.metrics import judge, per_class, score


def test_a_class_absent_from_test_is_left_out_of_the_means_unless_taken_for_one():
    never = judge(["a", "b", "c"], ["a", "b"], np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]))
    assert score(never)["macro_f1"] == 1.0
    assert np.isnan(per_class(never).f1[2])
    once = judge(["a", "b", "c"], ["a", "b"], np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.7]]))
    assert score(once)["macro_f1"] == pytest.approx(1 / 3)
    assert score(once)["balanced_accuracy"] == 0.5


def test_a_label_that_the_model_never_met_counts_as_a_mistake():
    judged = judge(["a", "b"], ["a", "new"], np.array([[0.9, 0.1], [0.6, 0.4]]))
    figures = score(judged)
    assert judged.classes == ["a", "b", "new"]
    assert figures["accuracy"] == 0.5
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert np.isfinite(figures["log_loss"])
