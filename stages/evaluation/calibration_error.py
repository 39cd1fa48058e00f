"""Whether probabilities mean what they say: of products at 0.8, 80 % should be right."""

from dataclasses import dataclass

import numpy as np

from stages.evaluation.metrics import Judged

BINS = 15


@dataclass(frozen=True)
class Bins:
    """Products by the probability of their prediction, without empty bins: of shape (bins,)."""

    confidence: np.ndarray  # mean
    accuracy: np.ndarray
    products: np.ndarray


def reliability(judged: Judged) -> Bins:
    """Sort products into BINS bins of equal width: the points of a reliability diagram."""
    at = np.minimum((judged.confidence * BINS).astype(np.int64), BINS - 1)
    products, confidence, right = (
        np.bincount(at, weights=weights, minlength=BINS)
        for weights in (None, judged.confidence, judged.correct)
    )
    filled = products > 0
    return Bins(
        confidence[filled] / products[filled], right[filled] / products[filled], products[filled]
    )


def calibration_error(judged: Judged) -> float:
    """Return the expected calibration error of at least one product (Naeini et al. 2015).

    It is the mean distance of the bins' confidence and accuracy, weighted by products, with 15 bins
    of equal width as in Guo et al. 2017: 0 is best.
    """
    bins = reliability(judged)
    return float(np.average(np.abs(bins.confidence - bins.accuracy), weights=bins.products))
