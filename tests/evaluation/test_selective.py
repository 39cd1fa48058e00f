import numpy as np
import pytest
from helpers.held_out_products import held_out

from stages.evaluation.selective import coverage, curve, threshold


def case(right: list[bool], sure: list[float], folds: list[int] | None = None):
    return held_out([0] * len(right), [0 if r else 1 for r in right], sure, folds=folds)


def test_the_threshold_is_the_lowest_that_keeps_the_promise():
    judged = case([True, True, False, True, False], [0.9, 0.8, 0.7, 0.6, 0.5]).judged
    assert threshold(judged, 0.95) == pytest.approx(0.8)
    assert threshold(judged, 0.75) == pytest.approx(0.6)
    assert threshold(judged, 0.6) == pytest.approx(0.5)


def test_products_of_one_probability_are_filed_together_or_not_at_all():
    judged = case([True, True, False], [0.9, 0.8, 0.8]).judged
    assert threshold(judged, 1.0) == pytest.approx(0.9)


def test_a_promise_that_cannot_be_kept_files_nothing():
    validation, test = case([False, True], [0.9, 0.8]), case([True], [0.99])
    kept = coverage(validation, test, 0.99)
    assert (kept.filed, kept.accuracy, kept.threshold) == (0.0, None, None)


def test_what_is_filed_follows_from_validation_alone():
    validation = case([True, True, False], [0.9, 0.8, 0.7])
    test = case([True, False, True, True], [0.95, 0.85, 0.75, 0.7])
    kept = coverage(validation, test, 0.99)
    assert kept.threshold == pytest.approx(0.8)
    assert kept.filed == 0.5
    assert kept.accuracy == 0.5  # the promise is validation's; test says what it was worth


def test_each_fold_has_its_own_threshold():
    validation = case([True, False, True, False], [0.6, 0.5, 0.9, 0.8], folds=[1, 1, 2, 2])
    test = case([True, True, True, True], [0.7, 0.55, 0.95, 0.7], folds=[1, 1, 2, 2])
    kept = coverage(validation, test, 0.99)
    assert kept.filed == 0.5
    assert kept.threshold == pytest.approx(0.9)


def test_the_curve_rises_to_the_share_of_all_mistakes():
    judged = case([True, False, True, True], [0.6, 0.5, 0.9, 0.8]).judged
    assert curve(judged, [0.01, 0.5, 0.75, 1.0]) == pytest.approx([0, 0, 0, 0.25])
    assert curve(judged.where(np.array([1, 3])), [0.5, 1.0]) == pytest.approx([0, 0.5])
