"""How good a model's probabilities are: pure functions of true labels and probabilities.

Macro means run over all classes that the model tells apart. A class for which a figure is 0/0 is
left out of its mean: recall where no product is of the class, F1 where moreover none was taken for
it. A class that no product is of, but that some were taken for, has an F1 of 0: those are mistakes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Judged:
    """Products whose label is known, and what a model makes of them.

    `classes` names the columns of `probabilities`, float64 of shape (n, classes); `truth` is int64
    of shape (n,), the position of each product's label in `classes`.
    """

    classes: list[str]
    truth: np.ndarray
    probabilities: np.ndarray

    @property
    def ranking(self) -> np.ndarray:
        """The classes of each product, most probable first: int64 of shape (n, classes)."""
        return np.argsort(-self.probabilities, axis=1, kind="stable")

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each product, the first of equals: int64 of shape (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> np.ndarray:
        """The probability of the most probable class: float64 of shape (n,)."""
        return self.probabilities.max(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Whether the most probable class is the label: boolean of shape (n,)."""
        return self.predicted == self.truth

    def where(self, chosen: np.ndarray) -> "Judged":
        """Return the products that `chosen`, booleans or positions, picks."""
        return Judged(self.classes, self.truth[chosen], self.probabilities[chosen])


@dataclass(frozen=True)
class PerClass:
    """Precision, recall, F1 and number of products of each class, NaN where a figure is 0/0."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def judge(classes: Sequence[str], labels: Sequence[str], probabilities: np.ndarray) -> Judged:
    """Put the labels of n products beside their probabilities, float of shape (n, classes).

    A label that the model has never met joins the classes with a probability of 0: its products
    count as mistakes.
    """
    unknown = sorted(set(labels) - set(classes))
    known = [*classes, *unknown]
    position = {name: at for at, name in enumerate(known)}
    truth = np.array([position[label] for label in labels], dtype=np.int64)
    padded = np.pad(np.asarray(probabilities, dtype=np.float64), ((0, 0), (0, len(unknown))))
    return Judged(known, truth, padded)


def per_class(judged: Judged) -> PerClass:
    """Score each class by itself; the arrays are of shape (classes,)."""
    from sklearn.metrics import precision_recall_fscore_support

    return PerClass(
        *precision_recall_fscore_support(
            judged.truth,
            judged.predicted,
            labels=range(len(judged.classes)),
            zero_division=np.nan,
        )
    )


def score(judged: Judged) -> dict[str, float]:
    """Return the figures for at least one product; all are shares but log_loss, in nats."""
    from sklearn.metrics import log_loss

    each = per_class(judged)
    top3 = (judged.ranking[:, :3] == judged.truth[:, None]).any(axis=1)
    total = judged.probabilities.sum(axis=1, keepdims=True)  # float32 sums to 1 only roughly
    return {
        "accuracy": float(np.mean(judged.correct)),
        "balanced_accuracy": float(np.nanmean(each.recall)),
        "macro_f1": float(np.nanmean(each.f1)),
        "weighted_f1": float(np.average(np.nan_to_num(each.f1), weights=each.support)),
        "top3_accuracy": float(np.mean(top3)),
        "log_loss": float(
            log_loss(judged.truth, judged.probabilities / total, labels=range(len(judged.classes)))
        ),
    }


def confusion(judged: Judged) -> np.ndarray:
    """Count the products by label and prediction: int64 of shape (classes, classes)."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(judged.truth, judged.predicted, labels=range(len(judged.classes)))
