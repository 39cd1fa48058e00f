import numpy as np
import pytest
from helpers.held_out_products import held_out

from stages.evaluation.calibration_error import calibration_error, reliability_bins


def first_correct(count: int, of: int) -> np.ndarray:
    return np.where(np.arange(of) < count, 0, 1)


def test_probabilities_that_equal_the_accuracy_have_no_error():
    products = held_out(np.zeros(50, dtype=int), first_correct(40, 50), 0.8)
    assert calibration_error(products.calibrated) == pytest.approx(0)


def test_the_error_is_the_mean_distance_weighted_by_products():
    y_pred = np.concatenate([first_correct(10, 20), first_correct(30, 30)])
    confidences = np.repeat([0.9, 0.6], [20, 30])  # 0.4 too high on 20, 0.4 too low on 30
    products = held_out(np.zeros(50, dtype=int), y_pred, confidences)
    assert calibration_error(products.calibrated) == pytest.approx(0.4)


def test_the_diagram_has_a_point_per_bin_with_products():
    confidences = np.repeat([0.9, 0.6, 1.0], [20, 30, 5])
    products = held_out(np.zeros(55, dtype=int), first_correct(25, 55), confidences)
    bins = reliability_bins(products.calibrated)
    assert bins.confidence.tolist() == pytest.approx([0.6, 0.9, 1.0])
    assert bins.accuracy.tolist() == pytest.approx([5 / 30, 1, 0])
    assert bins.products.tolist() == [30, 20, 5]
