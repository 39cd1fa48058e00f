import numpy as np
import pytest
from helpers.held_out_products import held_out

from stages.evaluation.bootstrap import RESAMPLES, Resamples, interval
from stages.evaluation.metrics import score


def test_a_resample_is_scored_as_if_its_products_were_there():
    rng = np.random.default_rng(0)
    groups = [f"g{at}" for at in rng.integers(20, size=60)]
    products = held_out(rng.integers(3, size=60), rng.integers(3, size=60), groups=groups)
    resamples = Resamples(products.groups, seed=1)
    figures = resamples.figures(products)
    for at in (0, 1, RESAMPLES):
        times = resamples.weights[:, at].astype(int)
        drawn = dict(zip(resamples.names.tolist(), times, strict=True))
        again = np.repeat(np.arange(60), [drawn[group] for group in groups])
        expected = score(products.judged.where(again))
        assert figures.accuracy[at] == pytest.approx(expected["accuracy"])
        assert figures.macro_f1[at] == pytest.approx(expected["macro_f1"])


def test_as_many_groups_are_drawn_as_there_are():
    resamples = Resamples(np.array(["a", "b", "b", "c"]), seed=0)
    assert set(resamples.weights.sum(axis=0)) == {3.0}
    assert set(resamples.weights[:, 0]) == {1.0}


def test_the_interval_of_an_accuracy_is_that_of_the_normal_approximation():
    right = np.arange(400) < 320
    products = held_out(np.zeros(400, dtype=int), np.where(right, 0, 1))
    found = interval(Resamples(products.groups, seed=0).figures(products).accuracy)
    assert found.value == 0.8
    half = 1.96 * (0.8 * 0.2 / 400) ** 0.5
    assert found.low == pytest.approx(0.8 - half, abs=0.006)
    assert found.high == pytest.approx(0.8 + half, abs=0.006)


def test_products_that_are_right_or_wrong_together_widen_the_interval():
    predicted = np.repeat((np.arange(40) % 4 == 0).astype(int), 10)
    widths = []
    for groups in (np.arange(400), np.repeat(np.arange(40), 10)):
        products = held_out(np.zeros(400, dtype=int), predicted, groups=[f"g{g}" for g in groups])
        found = interval(Resamples(products.groups, seed=0).figures(products).accuracy)
        widths.append(found.high - found.low)
    assert widths[1] > 2.5 * widths[0]  # the root of 10, roughly


def test_the_seed_decides_the_draw():
    groups = np.array([f"g{at}" for at in range(50)])
    draws = [Resamples(groups, seed).weights for seed in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
