import numpy as np
import pytest

from stages.common.thresholds import find_threshold


def found(correct: list[bool], confidence: list[float], target: float) -> float | None:
    return find_threshold(np.array(confidence), np.array(correct, dtype=bool), target)


@pytest.mark.parametrize(("target", "threshold"), [(0.95, 0.8), (0.75, 0.6), (0.6, 0.5)])
def test_the_threshold_is_the_lowest_that_reaches_the_target(target, threshold):
    correct, confidence = [True, True, False, True, False], [0.9, 0.8, 0.7, 0.6, 0.5]
    assert found(correct, confidence, target) == pytest.approx(threshold)


def test_products_of_one_probability_are_accepted_together_or_not_at_all():
    assert found([True, True, False], [0.9, 0.8, 0.8], 1.0) == pytest.approx(0.9)


@pytest.mark.parametrize(("correct", "confidence"), [([False, True], [0.9, 0.8]), ([], [])])
def test_there_is_none_where_none_reaches_the_target(correct, confidence):
    assert found(correct, confidence, 0.99) is None
