"""How many products need no review by a person, at a target accuracy.

A prediction is accepted if its probability reaches a threshold: selective classification, as in
Geifman and El-Yaniv 2017.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stages.common.thresholds import (
    accuracy_by_confidence,
    promised_thresholds,
    reached_threshold,
)
from stages.evaluation.metrics import LabeledPredictions
from stages.evaluation.predictions import PredictionSet

TARGET_ACCURACIES = {"at_95_percent": 0.95, "at_99_percent": 0.99}


@dataclass(frozen=True)
class Coverage:
    """What a target accuracy gives on the test products."""

    coverage: float  # the share of products whose prediction is accepted
    accuracy: float | None  # of those; None where there are none
    threshold: float | None  # the highest of the folds'; None where nothing is promised
    coverage_unpromised: float  # with the threshold that just reaches the target on validation
    accuracy_unpromised: float | None


def coverage_at(validation: PredictionSet, test: PredictionSet, target: float) -> Coverage:
    """Accept test predictions by the threshold of each fold's validation products.

    `target` is one of those that are promised. What is not promised shows what the promise costs.
    """
    promised: dict[int, float | None] = {}
    reached: dict[int, float | None] = {}
    for fold in np.unique(test.folds).tolist():
        rows = validation.folds == fold
        found = validation.calibrated.select_rows(rows)
        groups = validation.groups[rows]
        thresholds = promised_thresholds(found.confidence, found.correct, groups)
        promised[fold] = thresholds[target]
        reached[fold] = reached_threshold(found.confidence, found.correct, target)
    known = [threshold for threshold in promised.values() if threshold is not None]
    return Coverage(*_accept(test, promised), max(known, default=None), *_accept(test, reached))


def _accept(
    test: PredictionSet, thresholds: Mapping[int, float | None]
) -> tuple[float, float | None]:
    """Return the share of predictions that reach their fold's threshold, and their accuracy."""
    accepted = np.zeros(len(test), dtype=bool)
    for fold, threshold in thresholds.items():
        if threshold is not None:
            accepted |= (test.folds == fold) & (test.calibrated.confidence >= threshold)
    accuracy = float(test.calibrated.correct[accepted].mean()) if accepted.any() else None
    return float(accepted.mean()), accuracy


def risk_coverage_curve(predictions: LabeledPredictions, coverages: Sequence[float]) -> list[float]:
    """Return the share of mistakes among the most confident products, for each coverage.

    At least one product is taken.
    """
    _, accuracy = accuracy_by_confidence(predictions.confidence, predictions.correct)
    counts = np.maximum(np.round(np.array(coverages) * len(accuracy)).astype(np.int64), 1)
    return (1 - accuracy[counts - 1]).tolist()
