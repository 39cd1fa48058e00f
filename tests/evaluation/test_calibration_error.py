import numpy as np
import pytest
from helpers.held_out_products import held_out

from stages.evaluation.calibration_error import calibration_error, reliability


def right(count: int, of: int) -> np.ndarray:
    return np.where(np.arange(of) < count, 0, 1)


def test_probabilities_that_mean_what_they_say_have_no_error():
    products = held_out(np.zeros(50, dtype=int), right(40, 50), 0.8)
    assert calibration_error(products.judged) == pytest.approx(0)


def test_the_error_is_the_mean_distance_weighted_by_products():
    predicted = np.concatenate([right(10, 20), right(30, 30)])
    sure = np.repeat([0.9, 0.6], [20, 30])  # 0.4 too sure of 20, 0.4 too humble of 30
    products = held_out(np.zeros(50, dtype=int), predicted, sure)
    assert calibration_error(products.judged) == pytest.approx(0.4)


def test_the_diagram_has_a_point_per_bin_with_products():
    sure = np.repeat([0.9, 0.6, 1.0], [20, 30, 5])
    products = held_out(np.zeros(55, dtype=int), right(25, 55), sure)
    bins = reliability(products.judged)
    assert bins.confidence.tolist() == pytest.approx([0.6, 0.9, 1.0])
    assert bins.accuracy.tolist() == pytest.approx([5 / 30, 1, 0])
    assert bins.products.tolist() == [30, 20, 5]
