"""How many products can be filed without a look at them, where an accuracy is promised.

A product is filed if the probability of its prediction reaches a threshold: selective
classification, as in Geifman and El-Yaniv 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.evaluation.metrics import Judged
from stages.evaluation.predictions import HeldOut


@dataclass(frozen=True)
class Coverage:
    """What a promise comes to on the test products."""

    filed: float  # the share of products
    accuracy: float | None  # of those filed; None where there are none
    threshold: float | None  # the highest of the folds'; None where none keeps the promise


def threshold(judged: Judged, promise: float) -> float | None:
    """Return the lowest probability from which on predictions are as accurate as promised.

    None where there is none. It keeps the promise on these products; others may fall short of it.
    """
    confidence, accuracy = _by_confidence(judged)
    last_of_equals = np.append(confidence[1:] != confidence[:-1], True)
    keeps = np.flatnonzero(last_of_equals & (accuracy >= promise))
    return float(confidence[keeps[-1]]) if len(keeps) else None


def coverage(validation: HeldOut, test: HeldOut, promise: float) -> Coverage:
    """File test products by the thresholds that keep the promise on each fold's validation."""
    filed = np.zeros(len(test.skus), dtype=bool)
    thresholds = []
    for fold in np.unique(test.folds):
        chosen = threshold(validation.judged.where(validation.folds == fold), promise)
        if chosen is not None:
            thresholds.append(chosen)
            filed |= (test.folds == fold) & (test.judged.confidence >= chosen)
    accuracy = float(test.judged.correct[filed].mean()) if filed.any() else None
    return Coverage(float(filed.mean()), accuracy, max(thresholds, default=None))


def curve(judged: Judged, shares: Sequence[float]) -> list[float]:
    """Return the share of mistakes among the most confident products, for each share of products.

    That is the risk-coverage curve; at least one product is taken.
    """
    _, accuracy = _by_confidence(judged)
    counts = np.maximum(np.round(np.array(shares) * len(accuracy)).astype(np.int64), 1)
    return (1 - accuracy[counts - 1]).tolist()


def _by_confidence(judged: Judged) -> tuple[np.ndarray, np.ndarray]:
    """Return (confidence, accuracy so far), the most confident first: of shape (n,) each."""
    order = np.argsort(-judged.confidence, kind="stable")
    accuracy = np.cumsum(judged.correct[order]) / np.arange(1, len(order) + 1)
    return judged.confidence[order], accuracy
