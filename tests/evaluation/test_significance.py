import numpy as np
import pytest
from helpers.held_out_products import held_out

from stages.evaluation.bootstrap import Resamples
from stages.evaluation.significance import compare, mcnemar, on_average

LABELS = np.zeros(200, dtype=int)


def wrong_on(*products: int) -> np.ndarray:
    predicted = LABELS.copy()
    predicted[list(products)] = 1
    return predicted


def test_a_better_model_is_found_higher():
    better, worse = (held_out(LABELS, wrong_on(*range(count))) for count in (10, 40))
    found = compare(better, worse, Resamples(better.groups, seed=0))
    assert found.accuracy.value == pytest.approx(0.15)
    assert 0.05 < found.accuracy.low < 0.15 < found.accuracy.high < 0.25
    assert found.mcnemar_p == pytest.approx(2 * 0.5**30)
    assert "accuracy +0.1500" in found.verdict
    assert "higher" in found.verdict and "200 products" in found.verdict
    turned = compare(worse, better, Resamples(better.groups, seed=0))
    assert turned.accuracy.value == pytest.approx(-0.15)
    assert "lower" in turned.verdict


def test_as_many_mistakes_on_other_products_show_no_difference():
    first, second = held_out(LABELS, wrong_on(1, 2, 3)), held_out(LABELS, wrong_on(7, 8, 9))
    found = compare(first, second, Resamples(first.groups, seed=0))
    assert found.accuracy.value == 0
    assert "accuracy +0.0000" in found.verdict and "no difference shown" in found.verdict
    assert found.mcnemar_p == 1


def test_several_models_that_gain_a_little_show_together_what_none_shows_alone():
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(6):
        missed = rng.permutation(200)[:19]
        better, worse = held_out(LABELS, wrong_on(*missed[:7])), wrong_on(*missed[7:])
        differences.append(compare(better, held_out(LABELS, worse), Resamples(better.groups, 0)))
    accuracy, macro_f1 = on_average(differences)
    assert accuracy.value == pytest.approx(5 / 200) and macro_f1.value > 0
    assert all(found.accuracy.low <= 0 for found in differences)
    assert accuracy.low > 0


def test_only_products_that_both_see_count_in_any_order():
    first = held_out(LABELS, wrong_on(0, 1, 2)).where(np.arange(2, 100))
    second = held_out(LABELS, wrong_on(2, 50, 51)).where(np.arange(150)[::-1])
    found = compare(first, second, Resamples(second.groups, seed=0))
    assert found.products == 98
    assert found.accuracy.value == pytest.approx(2 / 98)


def test_nothing_in_common_is_no_comparison():
    products = held_out(LABELS, LABELS)
    first, second = products.where(np.arange(5)), products.where(np.arange(5, 9))
    assert compare(first, second, Resamples(products.groups, seed=0)) is None


def test_mcnemar_is_the_textbooks_binomial_tail():
    # 1 of 8 disagreements: 2 * (1 + 8) / 2**8.
    first = np.array([True] * 7 + [False] + [True] * 5)
    second = np.array([False] * 7 + [True] + [True] * 5)
    assert mcnemar(first, second) == pytest.approx(18 / 256)
