"""Whether one model is better than another: their difference on the products that both can see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.evaluation.bootstrap import Figures, Interval, Resamples, interval
from stages.evaluation.predictions import HeldOut


@dataclass(frozen=True)
class Difference:
    """How far the first of two models is above the second, on `products` products."""

    products: int
    resampled: Figures
    mcnemar_p: float

    @property
    def accuracy(self) -> Interval:
        """The difference in accuracy."""
        return interval(self.resampled.accuracy)

    @property
    def macro_f1(self) -> Interval:
        """The difference in macro F1."""
        return interval(self.resampled.macro_f1)

    @property
    def verdict(self) -> str:
        """Say what the intervals show, with the figures that it rests on."""
        figures = in_words(self.accuracy, self.macro_f1)
        return f"{figures}; McNemar's p {self.mcnemar_p:.2g}; {self.products} products"


def on_average(differences: Sequence[Difference]) -> tuple[Interval, Interval]:
    """Return how far several first models are above their seconds, in accuracy and in macro F1.

    One model's difference rests on the few products that it and the other judge differently;
    several models' have less of such chance in them.
    """
    each = [found.resampled for found in differences]
    accuracy = np.mean([figures.accuracy for figures in each], axis=0)
    macro_f1 = np.mean([figures.macro_f1 for figures in each], axis=0)
    return interval(accuracy), interval(macro_f1)


def in_words(accuracy: Interval, macro_f1: Interval) -> str:
    """Say what the intervals of two differences show, with their figures."""
    return "; ".join(
        f"{title} {found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f}), {shown(found)}"
        for title, found in (("accuracy", accuracy), ("macro F1", macro_f1))
    )


def shown(found: Interval) -> str:
    """Say on which side of 0 the interval of a difference lies."""
    if found.low > 0:
        return "higher"
    return "lower" if found.high < 0 else "no difference shown"


def compare(first: HeldOut, second: HeldOut, resamples: Resamples) -> Difference | None:
    """Compare two models on the products that are in both; None where there is no such product."""
    _, ours, theirs = np.intersect1d(first.skus, second.skus, return_indices=True)
    if not len(ours):
        return None
    first, second = first.where(ours), second.where(theirs)
    above, below = resamples.figures(first), resamples.figures(second)
    return Difference(
        products=len(ours),
        resampled=Figures(above.accuracy - below.accuracy, above.macro_f1 - below.macro_f1),
        mcnemar_p=mcnemar(first.judged.correct, second.judged.correct),
    )


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Return the p-value of McNemar's test (1947), exact and two-sided: both are right as often.

    `first` and `second` say of the same products whether each model is right: boolean of shape
    (n,). Those on which the models disagree would be even-handed between them. The test takes
    products for independent; where near-duplicates are many, the intervals are the safer guide.
    """
    from scipy.stats import binomtest

    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(second & ~first))
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)
