"""The probability above which predictions are right as often as was promised.

A promise is kept with the confidence CONFIDENCE: of twenty catalogues, one at most has products
above its threshold that are right less often. Thresholds are tested as hypotheses (Angelopoulos et
al. 2021, Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control). Products that
are near-duplicates are right or wrong together, so a binomial test counts them as fewer: by the
effective size of Kish (1965, Survey Sampling), as in Korn and Graubard (1998, Confidence Intervals
for Proportions). The tests go from few accepted products to many by the fallback procedure (Wiens
2003), in which a threshold that holds passes its level on to the next.
"""

import math
from collections.abc import Mapping

import numpy as np
from scipy.special import betainc

TARGETS = (0.9, 0.95, 0.98, 0.99, 0.995)  # accuracies that are promised
CONFIDENCE = 0.95
FIRST_SHARE = 0.5  # of the level of all tests, for the first of them; the others share the rest
STEP = 1.25  # how many times as many products the next test with a level of its own accepts
BETWEEN = 10  # steps from one of them to the next, on the level that is passed on alone

Thresholds = Mapping[float, float | None]  # by target accuracy; None where nothing is promised


def promised_thresholds(
    confidence: np.ndarray, correct: np.ndarray, groups: np.ndarray
) -> Thresholds:
    """Return the lowest probability above which predictions are promised to reach each of TARGETS.

    `confidence` are the probabilities of predictions for held-out products, `correct`, boolean,
    whether they are right, and `groups`, str, which are near-duplicates; all of shape (n,). None
    where nothing can be promised, as there are too few products or too many mistakes.
    """
    order = np.argsort(-confidence, kind="stable")
    confidence, groups = confidence[order], groups[order]
    accuracy = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    sizes, ends = effective_sizes(groups), _ends(confidence)
    found: dict[float, float | None] = {}
    lowest = None
    for target in sorted(TARGETS, reverse=True):  # what keeps a higher promise keeps a lower one
        row = _promised_row(accuracy, sizes, ends, target)
        threshold = None if row is None else float(confidence[row])
        known = [each for each in (threshold, lowest) if each is not None]
        found[target] = lowest = min(known, default=None)
    return {target: found[target] for target in TARGETS}


def _promised_row(
    accuracy: np.ndarray, sizes: np.ndarray, ends: np.ndarray, target: float
) -> int | None:
    """Return the last row, the most confident being first, that is promised to reach `target`."""
    level = 1 - CONFIDENCE
    tests = _tests(sizes, ends, math.log(level * FIRST_SHARE, target))
    found, passed_on = None, 0.0
    for i, share in tests.items():
        its_level = level * share + passed_on
        holds = _p_value(accuracy[i], sizes[i], target) <= its_level
        found, passed_on = (i, its_level) if holds else (found, 0.0)
    return found


def reached_threshold(confidence: np.ndarray, correct: np.ndarray, target: float) -> float | None:
    """Return the lowest probability above which these predictions reach the target accuracy.

    Arguments are those of `promised_thresholds`. Predictions for other products may well miss it.
    """
    confidence, accuracy = accuracy_by_confidence(confidence, correct)
    ends = _ends(confidence)
    reached = ends[accuracy[ends] >= target]
    return float(confidence[reached[-1]]) if len(reached) else None


def accuracy_by_confidence(
    confidence: np.ndarray, correct: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (confidence, accuracy so far), the most confident first: of shape (n,) each."""
    order = np.argsort(-confidence, kind="stable")
    return confidence[order], np.cumsum(correct[order]) / np.arange(1, len(order) + 1)


def effective_sizes(groups: np.ndarray) -> np.ndarray:
    """Return for how many independent products the first 1, 2, ..., n products stand, float64 (n,).

    It is n² / Σ m², where m are the sizes of the groups among them.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    by_group = np.argsort(codes, kind="stable")
    counts = np.bincount(codes) if len(codes) else codes
    seen_before = np.empty(len(codes), dtype=np.int64)
    seen_before[by_group] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.arange(1, len(codes) + 1) ** 2 / np.cumsum(2 * seen_before + 1)


def _ends(confidence: np.ndarray) -> np.ndarray:
    """Return the last row of each run of equal values: equals are accepted together."""
    return np.flatnonzero(np.append(confidence[1:] != confidence[:-1], True)[: len(confidence)])


def _tests(sizes: np.ndarray, ends: np.ndarray, smallest: float) -> dict[int, float]:
    """Return the rows up to which products are accepted, from few to all, and each test's share.

    In the first test they stand for `smallest` products at least. The shares of the level of all
    tests add up to 1; those between the steps have none. Mistakes have no part in it.
    """
    if not len(ends):
        return {}
    largest = np.maximum.accumulate(sizes[ends])
    n_steps = int(math.log(max(largest[-1] / smallest, 1)) / math.log(STEP))
    before_last = np.arange(n_steps * BETWEEN, -1, -1)
    rows = ends[np.searchsorted(largest, largest[-1] / STEP ** (before_last / BETWEEN))]
    rows, with_share = np.append(rows, ends[-1]), np.append(before_last % BETWEEN == 0, True)
    enough = sizes[rows] >= smallest
    steps = np.unique(rows[enough & with_share]).tolist()
    first = FIRST_SHARE if len(steps) > 1 else 1.0
    shares = {
        i: (1 - first) / (len(steps) - 1) if number else first for number, i in enumerate(steps)
    }
    return {i: shares.get(i, 0.0) for i in np.unique(rows[enough]).tolist()}


def _p_value(accuracy: float, size: float, target: float) -> float:
    """Return how probable so few mistakes are where the accuracy is just below the target.

    It is binomial, for any number of products and mistakes.
    """
    mistakes = (1 - accuracy) * size
    right = max(size - mistakes, np.finfo(float).tiny)
    return float(1 - betainc(mistakes + 1, right, 1 - target))
