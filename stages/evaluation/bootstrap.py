"""How sure a figure is: 95 % intervals of the bootstrap (Efron 1979), by its percentiles.

Groups of near-duplicate products are drawn, not products: a group's products are right or wrong
together, and drawing them one by one would make every interval too narrow.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from stages.evaluation.predictions import HeldOut

RESAMPLES = 1000
BOUNDS = (0.025, 0.975)


@dataclass(frozen=True)
class Interval:
    """A figure and the ends of its 95 % interval; `low` and `high` may lie on one side of it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Figures:
    """Accuracy and macro F1, of the products themselves and of each resample.

    Arrays are float64 of shape (1 + RESAMPLES,): the products themselves come first.
    """

    accuracy: np.ndarray
    macro_f1: np.ndarray


class Resamples:
    """Draws of as many groups as there are, with replacement: the same ones for every model.

    Models are thereby compared on the same resamples, so that what is easy or hard for both of them
    cancels out in their difference.
    """

    def __init__(self, groups: np.ndarray, seed: int) -> None:
        """Draw from `groups`, text of shape (n,), in which a group may occur repeatedly."""
        self.names = np.unique(groups)
        count = len(self.names)
        rng = np.random.default_rng(seed)
        # How often each group is in each resample; the first is every group once.
        self.weights = np.ones((count, 1 + RESAMPLES), dtype=np.float32)
        for at in range(1, 1 + RESAMPLES):
            drawn = rng.integers(count, size=count)
            self.weights[:, at] = np.bincount(drawn, minlength=count)

    def figures(self, products: HeldOut) -> Figures:
        """Return accuracy and macro F1, as `metrics` defines them, of each resample."""
        judged = products.judged
        right = judged.correct
        rows = np.searchsorted(self.names, products.groups)
        hits = self._sums(rows[right], judged.truth[right], len(judged.classes))
        labels = self._sums(rows, judged.truth, len(judged.classes))
        predictions = self._sums(rows, judged.predicted, len(judged.classes))
        # A resample may miss all of the products, where they are few: its figures are NaN.
        with np.errstate(invalid="ignore"):
            f1 = 2 * hits / (labels + predictions)  # NaN where neither: left out of the mean
            defined = ~np.isnan(f1)
            return Figures(
                accuracy=hits.sum(axis=0) / labels.sum(axis=0),
                macro_f1=np.where(defined, f1, 0).sum(axis=0) / defined.sum(axis=0),
            )

    def _sums(self, rows: np.ndarray, columns: np.ndarray, classes: int) -> np.ndarray:
        """Count products by class in each resample: float64 of shape (classes, 1 + RESAMPLES)."""
        counts = sparse.csr_array(
            (np.ones(len(rows), dtype=np.float32), (columns, rows)), (classes, len(self.names))
        )
        return (counts @ self.weights).astype(np.float64)


def interval(values: np.ndarray) -> Interval:
    """Return the interval of a figure from its values, laid out as those of Figures."""
    low, high = np.nanquantile(values[1:], BOUNDS)
    return Interval(float(values[0]), float(low), float(high))
