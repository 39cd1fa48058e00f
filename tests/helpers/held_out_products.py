"""Predictions for held-out products, as a test needs them."""

from collections.abc import Sequence

import numpy as np

from stages.evaluation.metrics import LabeledPredictions
from stages.evaluation.predictions import PredictionSet


def held_out(
    y_true: Sequence[int],
    y_pred: Sequence[int],
    confidence: Sequence[float] | float = 0.8,
    groups: Sequence[str] | None = None,
    folds: Sequence[int] | None = None,
    n_classes: int = 3,
) -> PredictionSet:
    """Make predictions for products s00, s01 and so on; the other classes share the rest evenly."""
    count = len(y_true)
    confidences = np.broadcast_to(np.asarray(confidence, dtype=np.float64), (count,))
    probabilities = np.tile(((1 - confidences) / (n_classes - 1))[:, None], (1, n_classes))
    probabilities[np.arange(count), y_pred] = confidences
    classes = [f"c{i}" for i in range(n_classes)]
    labels = [classes[i] for i in y_true]
    predictions = LabeledPredictions.from_labels(classes, labels, probabilities)
    skus = np.array([f"s{i:02}" for i in range(count)])
    return PredictionSet(
        skus=skus,
        groups=skus if groups is None else np.array(groups),
        folds=np.ones(count, dtype=np.int32) if folds is None else np.array(folds),
        calibrated=predictions,
        uncalibrated=predictions,
    )
