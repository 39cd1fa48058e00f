"""How many products need no review by a person, at a target accuracy.

A prediction is accepted if its probability reaches a threshold: selective classification, as in
Geifman and El-Yaniv 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.common.thresholds import accuracy_by_confidence, find_threshold
from stages.evaluation.metrics import LabeledPredictions
from stages.evaluation.predictions import PredictionSet

TARGET_ACCURACIES = {"at_95_percent": 0.95, "at_99_percent": 0.99}


@dataclass(frozen=True)
class Coverage:
    """What a target accuracy gives on the test products."""

    coverage: float  # the share of products whose prediction is accepted
    accuracy: float | None  # of those; None where there are none
    threshold: float | None  # the highest of the folds'; None where none reaches the target


def coverage_at(validation: PredictionSet, test: PredictionSet, target: float) -> Coverage:
    """Accept test predictions by the threshold that reaches the target on the fold's validation."""
    accepted = np.zeros(len(test), dtype=bool)
    thresholds = []
    for fold in np.unique(test.folds):
        of_fold = validation.calibrated.select_rows(validation.folds == fold)
        threshold = find_threshold(of_fold.confidence, of_fold.correct, target)
        if threshold is not None:
            thresholds.append(threshold)
            accepted |= (test.folds == fold) & (test.calibrated.confidence >= threshold)
    accuracy = float(test.calibrated.correct[accepted].mean()) if accepted.any() else None
    return Coverage(float(accepted.mean()), accuracy, max(thresholds, default=None))


def risk_coverage_curve(predictions: LabeledPredictions, coverages: Sequence[float]) -> list[float]:
    """Return the share of mistakes among the most confident products, for each coverage.

    At least one product is taken.
    """
    _, accuracy = accuracy_by_confidence(predictions.confidence, predictions.correct)
    counts = np.maximum(np.round(np.array(coverages) * len(accuracy)).astype(np.int64), 1)
    return (1 - accuracy[counts - 1]).tolist()
