"""How sure a metric is: 95 % percentile intervals of the cluster bootstrap (Efron 1979).

Groups of near-duplicate products are resampled, not products: the products of a group tend to be
right or wrong together, and intervals from single products would be too narrow.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from stages.evaluation.predictions import PredictionSet

RESAMPLES = 1000
QUANTILES = (0.025, 0.975)


@dataclass(frozen=True)
class Interval:
    """A metric and the ends of its 95 % interval; both ends may lie on one side of the metric."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BootstrapMetrics:
    """Accuracy and macro F1, of the products themselves and of each resample.

    Arrays are float64 of shape (1 + RESAMPLES,): the products themselves come first.
    """

    accuracy: np.ndarray
    macro_f1: np.ndarray


class ClusterBootstrap:
    """Resamples of groups with replacement, the same ones for every model.

    Models are compared on the same resamples: what is easy or hard for both cancels out in their
    difference.
    """

    def __init__(self, groups: np.ndarray, seed: int) -> None:
        """Draw from `groups`, str of shape (n,), in which a group may occur repeatedly."""
        self.groups = np.unique(groups)
        count = len(self.groups)
        rng = np.random.default_rng(seed)
        # How often each group is in each resample; the first has every group once.
        self.weights = np.ones((count, 1 + RESAMPLES), dtype=np.float32)
        for i in range(1, 1 + RESAMPLES):
            drawn = rng.integers(count, size=count)
            self.weights[:, i] = np.bincount(drawn, minlength=count)

    def metrics(self, products: PredictionSet) -> BootstrapMetrics:
        """Return accuracy and macro F1, as `scores` defines them, of each resample."""
        predictions = products.calibrated
        y_true, y_pred, correct = predictions.y_true, predictions.y_pred, predictions.correct
        n_classes = len(predictions.classes)
        rows = np.searchsorted(self.groups, products.groups)
        hits = self._counts(rows[correct], y_true[correct], n_classes)
        labels = self._counts(rows, y_true, n_classes)
        predicted = self._counts(rows, y_pred, n_classes)
        # A resample may have none of the products, where they are few: its metrics are NaN.
        with np.errstate(invalid="ignore"):
            f1 = 2 * hits / (labels + predicted)  # NaN where both are 0: not in the mean
            defined = ~np.isnan(f1)
            return BootstrapMetrics(
                accuracy=hits.sum(axis=0) / labels.sum(axis=0),
                macro_f1=np.where(defined, f1, 0).sum(axis=0) / defined.sum(axis=0),
            )

    def _counts(self, rows: np.ndarray, columns: np.ndarray, n_classes: int) -> np.ndarray:
        """Count products by class in each resample: float64 of shape (classes, 1 + RESAMPLES)."""
        counts = sparse.csr_array(
            (np.ones(len(rows), dtype=np.float32), (columns, rows)), (n_classes, len(self.groups))
        )
        return (counts @ self.weights).astype(np.float64)


def interval(values: np.ndarray) -> Interval:
    """Return a metric's interval; `values` are of shape (1 + RESAMPLES,) as in BootstrapMetrics."""
    low, high = np.nanquantile(values[1:], QUANTILES)
    return Interval(float(values[0]), float(low), float(high))
