"""Whether probabilities can be trusted: of products at 0.8, 80 % should be right."""

from dataclasses import dataclass

import numpy as np

from stages.evaluation.metrics import LabeledPredictions

BINS = 15


@dataclass(frozen=True)
class ReliabilityBins:
    """Products by the probability of their prediction, without empty bins: of shape (bins,)."""

    confidence: np.ndarray  # mean
    accuracy: np.ndarray
    products: np.ndarray


def reliability_bins(predictions: LabeledPredictions) -> ReliabilityBins:
    """Sort products into BINS bins of equal width: the points of a reliability diagram."""
    confidence = predictions.confidence
    index = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    products, sums, correct = (
        np.bincount(index, weights=weights, minlength=BINS)
        for weights in (None, confidence, predictions.correct)
    )
    filled = products > 0
    return ReliabilityBins(
        sums[filled] / products[filled], correct[filled] / products[filled], products[filled]
    )


def calibration_error(predictions: LabeledPredictions) -> float:
    """Return the expected calibration error of at least one product (Naeini et al. 2015).

    It is the mean distance between the bins' confidence and accuracy, weighted by products, with 15
    bins of equal width as in Guo et al. 2017: 0 is best.
    """
    bins = reliability_bins(predictions)
    return float(np.average(np.abs(bins.confidence - bins.accuracy), weights=bins.products))
