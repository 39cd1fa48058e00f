import numpy as np
import pytest
from helpers.held_out_products import held_out

from stages.evaluation.bootstrap import RESAMPLES, ClusterBootstrap, interval
from stages.evaluation.metrics import scores


def test_a_resample_is_scored_as_if_its_products_were_there():
    rng = np.random.default_rng(0)
    groups = [f"g{i}" for i in rng.integers(20, size=60)]
    products = held_out(rng.integers(3, size=60), rng.integers(3, size=60), groups=groups)
    bootstrap = ClusterBootstrap(products.groups, seed=1)
    metrics = bootstrap.metrics(products)
    for i in (0, 1, RESAMPLES):
        times = bootstrap.weights[:, i].astype(int)
        drawn = dict(zip(bootstrap.groups.tolist(), times, strict=True))
        again = np.repeat(np.arange(60), [drawn[group] for group in groups])
        expected = scores(products.calibrated.select_rows(again))
        assert metrics.accuracy[i] == pytest.approx(expected["accuracy"])
        assert metrics.macro_f1[i] == pytest.approx(expected["macro_f1"])


def test_as_many_groups_are_drawn_as_there_are():
    bootstrap = ClusterBootstrap(np.array(["a", "b", "b", "c"]), seed=0)
    assert set(bootstrap.weights.sum(axis=0)) == {3.0}
    assert set(bootstrap.weights[:, 0]) == {1.0}


def test_the_interval_of_an_accuracy_is_that_of_the_normal_approximation():
    correct = np.arange(400) < 320
    products = held_out(np.zeros(400, dtype=int), np.where(correct, 0, 1))
    found = interval(ClusterBootstrap(products.groups, seed=0).metrics(products).accuracy)
    assert found.value == 0.8
    half = 1.96 * (0.8 * 0.2 / 400) ** 0.5
    assert found.low == pytest.approx(0.8 - half, abs=0.006)
    assert found.high == pytest.approx(0.8 + half, abs=0.006)


def test_products_that_are_right_or_wrong_together_widen_the_interval():
    y_pred = np.repeat((np.arange(40) % 4 == 0).astype(int), 10)
    widths = []
    for groups in (np.arange(400), np.repeat(np.arange(40), 10)):
        products = held_out(np.zeros(400, dtype=int), y_pred, groups=[f"g{g}" for g in groups])
        found = interval(ClusterBootstrap(products.groups, seed=0).metrics(products).accuracy)
        widths.append(found.high - found.low)
    assert widths[1] > 2.5 * widths[0]  # the root of 10, roughly


def test_the_seed_decides_the_draw():
    groups = np.array([f"g{i}" for i in range(50)])
    draws = [ClusterBootstrap(groups, seed).weights for seed in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
