"""Whether one model is better than another, on the products that both have predictions for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.evaluation.bootstrap import BootstrapMetrics, ClusterBootstrap, Interval, interval
from stages.evaluation.predictions import PredictionSet


@dataclass(frozen=True)
class Difference:
    """How much the first of two models is better than the second, on `products` products."""

    products: int
    resampled: BootstrapMetrics  # the differences of both metrics
    mcnemar_p: float

    @property
    def accuracy(self) -> Interval:
        """The difference in accuracy."""
        return interval(self.resampled.accuracy)

    @property
    def macro_f1(self) -> Interval:
        """The difference in macro F1."""
        return interval(self.resampled.macro_f1)


def compare(
    first: PredictionSet, second: PredictionSet, bootstrap: ClusterBootstrap
) -> Difference | None:
    """Compare two models on the products that are in both; None where there is no such product."""
    _, first_rows, second_rows = np.intersect1d(first.skus, second.skus, return_indices=True)
    if not len(first_rows):
        return None
    first, second = first.select_rows(first_rows), second.select_rows(second_rows)
    ours, theirs = bootstrap.metrics(first), bootstrap.metrics(second)
    return Difference(
        products=len(first),
        resampled=BootstrapMetrics(
            ours.accuracy - theirs.accuracy, ours.macro_f1 - theirs.macro_f1
        ),
        mcnemar_p=mcnemar(first.calibrated.correct, second.calibrated.correct),
    )


def mean_difference(differences: Sequence[Difference]) -> tuple[Interval, Interval]:
    """Return the mean difference of several pairs of models, in accuracy and in macro F1.

    One pair's difference rests on the few products on which its two models disagree; the mean of
    several pairs depends less on chance.
    """
    resampled = [difference.resampled for difference in differences]
    accuracy = np.mean([metrics.accuracy for metrics in resampled], axis=0)
    macro_f1 = np.mean([metrics.macro_f1 for metrics in resampled], axis=0)
    return interval(accuracy), interval(macro_f1)


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Return the p-value of McNemar's test (1947), exact and two-sided.

    `first` and `second` say of the same products whether each model is right: boolean of shape
    (n,). The null hypothesis is that both are right equally often. The test assumes independent
    products; where there are many near-duplicates, trust the bootstrap intervals.
    """
    from scipy.stats import binomtest

    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(second & ~first))
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)
