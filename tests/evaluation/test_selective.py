import numpy as np
import pytest
from helpers.held_out_products import held_out

from stages.evaluation.selective import coverage_at, risk_coverage_curve


def case(correct: list[bool], confidences: list[float], folds: list[int] | None = None):
    return held_out([0] * len(correct), [0 if c else 1 for c in correct], confidences, folds=folds)


def test_a_target_that_cannot_be_reached_accepts_nothing():
    validation, test = case([False, True], [0.9, 0.8]), case([True], [0.99])
    found = coverage_at(validation, test, 0.99)
    assert (found.coverage, found.accuracy, found.threshold) == (0.0, None, None)


def test_what_is_accepted_follows_from_validation_alone():
    validation = case([True] * 99 + [True, False], [0.9] * 99 + [0.8, 0.7])
    test = case([True, False, True, True], [0.95, 0.9, 0.85, 0.7])
    found = coverage_at(validation, test, 0.95)
    assert found.threshold == pytest.approx(0.7)
    found = coverage_at(validation, test, 0.99)
    assert found.threshold is None and found.coverage == 0
    # What is reached on validation alone is no promise: test may miss it.
    assert (found.coverage_unpromised, found.accuracy_unpromised) == (1.0, 0.75)


def test_each_fold_has_its_own_threshold():
    n = 100
    validation = case(
        [True] * n + [False] * n + [True] * n + [False] * n,
        [0.6] * n + [0.5] * n + [0.9] * n + [0.8] * n,
        folds=[1] * 2 * n + [2] * 2 * n,
    )
    test = case([True, True, True, True], [0.7, 0.55, 0.95, 0.7], folds=[1, 1, 2, 2])
    found = coverage_at(validation, test, 0.95)
    assert found.coverage == found.coverage_unpromised == 0.5
    assert found.threshold == pytest.approx(0.9)


def test_the_curve_rises_to_the_share_of_all_mistakes():
    predictions = case([True, False, True, True], [0.6, 0.5, 0.9, 0.8]).calibrated
    assert risk_coverage_curve(predictions, [0.01, 0.5, 0.75, 1.0]) == pytest.approx(
        [0, 0, 0, 0.25]
    )
    assert risk_coverage_curve(
        predictions.select_rows(np.array([1, 3])), [0.5, 1.0]
    ) == pytest.approx([0, 0.5])
