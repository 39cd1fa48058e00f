"""A promised accuracy is kept by nineteen catalogues of twenty, near-duplicates or not."""

import numpy as np
import pytest

from stages.common.thresholds import effective_sizes, promised_thresholds, reached_threshold

SIMULATED = 1000


def reached(correct: list[bool], confidence: list[float], target: float) -> float | None:
    return reached_threshold(np.array(confidence), np.array(correct, dtype=bool), target)


@pytest.mark.parametrize(("target", "threshold"), [(0.95, 0.8), (0.75, 0.6), (0.6, 0.5)])
def test_the_lowest_threshold_that_reaches_the_target(target, threshold):
    correct, confidence = [True, True, False, True, False], [0.9, 0.8, 0.7, 0.6, 0.5]
    assert reached(correct, confidence, target) == pytest.approx(threshold)


def test_products_of_one_probability_are_accepted_together_or_not_at_all():
    assert reached([True, True, False], [0.9, 0.8, 0.8], 1.0) == pytest.approx(0.9)


@pytest.mark.parametrize(("correct", "confidence"), [([False, True], [0.9, 0.8]), ([], [])])
def test_there_is_none_where_none_reaches_the_target(correct, confidence):
    assert reached(correct, confidence, 0.99) is None


def promised(correct, confidence=None, groups=None, target: float = 0.95) -> float | None:
    n = len(correct)
    confidence = np.linspace(1, 0.5, n) if confidence is None else np.asarray(confidence)
    groups = np.arange(n).astype(str) if groups is None else np.asarray(groups)
    return promised_thresholds(confidence, np.asarray(correct, dtype=bool), groups)[target]


def test_few_products_promise_nothing_however_right_they_are():
    # 0.95 ** 58 is above the level of 5 %, and 0.95 ** 59 below it.
    assert promised([True] * 58) is None
    assert promised([True] * 100) == pytest.approx(0.5)
    assert promised([]) is None


def test_mistakes_below_the_threshold_do_no_harm():
    correct, confidence = np.repeat([True, False], 150), np.linspace(1, 0.5, 300)
    found = promised(correct)
    assert found <= confidence[145]
    assert correct[confidence >= found].mean() >= 0.95


def test_a_promise_reaches_far_where_accuracy_falls_at_the_end():
    # Of the last tenth every second one is wrong; with all of it, it would be too many mistakes.
    correct = np.append(np.repeat(True, 900), np.arange(100) % 2 == 0)
    confidence = np.linspace(1, 0.5, 1000)
    found = promised(correct, confidence, target=0.98)
    assert promised(correct, confidence, target=0.95) < found <= confidence[900]
    assert correct[confidence >= found].mean() >= 0.98


def test_near_duplicates_count_as_one_product():
    assert promised([True] * 100, groups=["a"] * 50 + ["b"] * 50) is None
    assert effective_sizes(np.array(["a", "b", "a", "c"])).tolist() == [1, 2, 9 / 5, 16 / 6]


def test_equal_probabilities_are_promised_together_or_not_at_all():
    correct = [True] * 200 + [False] * 100
    assert promised(correct, [0.9] * 200 + [0.8] * 100) == pytest.approx(0.9)
    assert promised(correct, [0.9] * 300) is None


def test_what_is_promised_for_a_higher_accuracy_is_promised_for_a_lower_one():
    for seed in range(50):
        found = promised_thresholds(*catalogue(np.random.default_rng(seed), 2000, 60, 1.5))
        known = [threshold for threshold in found.values() if threshold is not None]
        assert known == sorted(known) and len(known) >= 2
        assert list(found.values()) == known + [None] * (len(found) - len(known))


def catalogue(rng: np.random.Generator, n_groups: int, sharpness: float, mean_size: float):
    """Draw probabilities, whether predictions are right, and groups.

    The probabilities are too high, and nine groups of ten are right or wrong as one.
    """
    sizes = np.minimum(rng.geometric(1 / mean_size, n_groups), 30)
    group = np.repeat(np.arange(n_groups), sizes)
    is_one = (rng.random(n_groups) < 0.9)[group]
    confidence = np.where(
        is_one,
        rng.beta(sharpness, 1, n_groups)[group] - 1e-9 * rng.random(len(group)),
        rng.beta(sharpness, 1, len(group)),
    )
    luck = np.where(is_one, rng.random(n_groups)[group], rng.random(len(group)))
    return confidence, luck < confidence**1.2, group.astype(str)


@pytest.mark.parametrize(
    ("n_groups", "sharpness", "mean_size", "target"),
    [(300, 8, 1.5, 0.9), (800, 8, 1, 0.95), (800, 8, 3, 0.9), (600, 20, 1.5, 0.95)],
)
def test_of_a_thousand_catalogues_at_least_94_percent_keep_the_promise(
    n_groups, sharpness, mean_size, target
):
    everyone = catalogue(np.random.default_rng(1), 100_000, sharpness, mean_size)
    order = np.argsort(-everyone[0])
    lowest, accuracy = everyone[0][order], np.cumsum(everyone[1][order]) / np.arange(
        1, len(order) + 1
    )

    def keeps(threshold: float | None) -> bool:
        if threshold is None:
            return True
        return accuracy[np.searchsorted(-lowest, -threshold, side="right") - 1] >= target

    kept = {"promised": 0, "reached": 0}
    n_promised = 0
    for seed in range(SIMULATED):
        rng = np.random.default_rng(seed)
        confidence, correct, groups = catalogue(rng, n_groups, sharpness, mean_size)
        threshold = promised_thresholds(confidence, correct, groups)[target]
        n_promised += threshold is not None
        kept["promised"] += keeps(threshold)
        kept["reached"] += keeps(reached_threshold(confidence, correct, target))
    assert kept["promised"] >= 0.94 * SIMULATED
    assert n_promised > 0.2 * SIMULATED  # a promise of nothing is easily kept
    assert kept["reached"] < 0.8 * SIMULATED  # so the catalogues are no easy ones
