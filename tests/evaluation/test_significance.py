import numpy as np
import pytest
from helpers.held_out_products import held_out

from stages.evaluation.bootstrap import ClusterBootstrap
from stages.evaluation.significance import compare, mcnemar, mean_difference

LABELS = np.zeros(200, dtype=int)


def wrong_on(*products: int) -> np.ndarray:
    y_pred = LABELS.copy()
    y_pred[list(products)] = 1
    return y_pred


def test_a_better_model_is_found_higher():
    better, worse = (held_out(LABELS, wrong_on(*range(count))) for count in (10, 40))
    found = compare(better, worse, ClusterBootstrap(better.groups, seed=0))
    assert found.accuracy.value == pytest.approx(0.15)
    assert 0.05 < found.accuracy.low < 0.15 < found.accuracy.high < 0.25
    assert found.mcnemar_p == pytest.approx(2 * 0.5**30)
    assert found.products == 200
    turned = compare(worse, better, ClusterBootstrap(better.groups, seed=0))
    assert turned.accuracy.value == pytest.approx(-0.15)
    assert turned.accuracy.high < 0


def test_as_many_mistakes_on_other_products_show_no_difference():
    first, second = held_out(LABELS, wrong_on(1, 2, 3)), held_out(LABELS, wrong_on(7, 8, 9))
    found = compare(first, second, ClusterBootstrap(first.groups, seed=0))
    assert found.accuracy.value == 0
    assert found.accuracy.low < 0 < found.accuracy.high
    assert found.mcnemar_p == 1


def test_several_models_that_gain_a_little_show_together_what_none_shows_alone():
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(6):
        missed = rng.permutation(200)[:19]
        better, worse = held_out(LABELS, wrong_on(*missed[:7])), wrong_on(*missed[7:])
        differences.append(
            compare(better, held_out(LABELS, worse), ClusterBootstrap(better.groups, 0))
        )
    accuracy, macro_f1 = mean_difference(differences)
    assert accuracy.value == pytest.approx(5 / 200) and macro_f1.value > 0
    assert all(found.accuracy.low <= 0 for found in differences)
    assert accuracy.low > 0


def test_only_products_in_both_sets_count_in_any_order():
    first = held_out(LABELS, wrong_on(0, 1, 2)).select_rows(np.arange(2, 100))
    second = held_out(LABELS, wrong_on(2, 50, 51)).select_rows(np.arange(150)[::-1])
    found = compare(first, second, ClusterBootstrap(second.groups, seed=0))
    assert found.products == 98
    assert found.accuracy.value == pytest.approx(2 / 98)


def test_nothing_in_common_is_no_comparison():
    products = held_out(LABELS, LABELS)
    first, second = products.select_rows(np.arange(5)), products.select_rows(np.arange(5, 9))
    assert compare(first, second, ClusterBootstrap(products.groups, seed=0)) is None


def test_mcnemar_is_the_textbooks_binomial_tail():
    # 1 of 8 disagreements: 2 * (1 + 8) / 2**8.
    first = np.array([True] * 7 + [False] + [True] * 5)
    second = np.array([False] * 7 + [True] + [True] * 5)
    assert mcnemar(first, second) == pytest.approx(18 / 256)
