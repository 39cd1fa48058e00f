"""How good a model's probabilities are: pure functions of true labels and probabilities.

Macro means run over all classes that the model knows. A class for which a metric is 0/0 does not
count in the mean: recall where no product has the class, F1 where in addition no product was
predicted to have it. A class that no product has, but that was predicted, has an F1 of 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabeledPredictions:
    """A model's probabilities for products whose label is known.

    `classes` names the columns of `probabilities`, float64 of shape (n, classes); `y_true` is int64
    of shape (n,), the index of each product's label in `classes`.
    """

    classes: list[str]
    y_true: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def from_labels(
        cls, classes: Sequence[str], labels: Sequence[str], probabilities: np.ndarray
    ) -> "LabeledPredictions":
        """Combine the labels of n products with probabilities, float of shape (n, classes).

        A label that the model does not know is added to the classes with a probability of 0: its
        products count as mistakes.
        """
        unknown = sorted(set(labels) - set(classes))
        known = [*classes, *unknown]
        index = {name: i for i, name in enumerate(known)}
        y_true = np.array([index[label] for label in labels], dtype=np.int64)
        padded = np.pad(np.asarray(probabilities, dtype=np.float64), ((0, 0), (0, len(unknown))))
        return cls(known, y_true, padded)

    def most_probable(self, count: int) -> np.ndarray:
        """Return each product's `count` classes, or all, most probable first: int64 (n, count).

        Of equals the first comes first.
        """
        # To sort thousands of classes would take most of the time of an evaluation.
        rest, rows = self.probabilities.copy(), np.arange(len(self.y_true))
        found = np.empty((len(rows), min(count, len(self.classes))), dtype=np.int64)
        for rank in range(found.shape[1]):
            found[:, rank] = rest.argmax(axis=1)
            rest[rows, found[:, rank]] = -np.inf
        return found

    @property
    def y_pred(self) -> np.ndarray:
        """The most probable class of each product, the first of equals: int64 of shape (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> np.ndarray:
        """The probability of the most probable class: float64 of shape (n,)."""
        return self.probabilities.max(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Whether the most probable class is the label: boolean of shape (n,)."""
        return self.y_pred == self.y_true

    @property
    def knows_label(self) -> np.ndarray:
        """Whether the model knew the label when it predicted the product: boolean of shape (n,)."""
        return self.probabilities[np.arange(len(self.y_true)), self.y_true] > 0

    def select_rows(self, rows: np.ndarray) -> "LabeledPredictions":
        """Return the products that `rows` selects, a boolean mask or indices."""
        return LabeledPredictions(self.classes, self.y_true[rows], self.probabilities[rows])

    def normalized(self) -> np.ndarray:
        """Return the probabilities with sums of exactly 1: float32 sums are only close to it."""
        return self.probabilities / self.probabilities.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall, F1 and number of products of each class, NaN where a metric is 0/0."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def class_scores(predictions: LabeledPredictions) -> ClassScores:
    """Score each class by itself; the arrays are of shape (classes,)."""
    from sklearn.metrics import precision_recall_fscore_support

    return ClassScores(
        *precision_recall_fscore_support(
            predictions.y_true,
            predictions.y_pred,
            labels=range(len(predictions.classes)),
            zero_division=np.nan,
        )
    )


def scores(predictions: LabeledPredictions) -> dict[str, float]:
    """Return the metrics of at least one product; all are shares but log_loss, in nats."""
    by_class = class_scores(predictions)
    y_true = predictions.y_true
    top3 = predictions.knows_label & (predictions.most_probable(3) == y_true[:, None]).any(axis=1)
    of_label = predictions.normalized()[np.arange(len(y_true)), y_true]
    return {
        "accuracy": float(np.mean(predictions.correct)),
        "balanced_accuracy": float(np.nanmean(by_class.recall)),
        "macro_f1": float(np.nanmean(by_class.f1)),
        "weighted_f1": float(np.average(np.nan_to_num(by_class.f1), weights=by_class.support)),
        "top3_accuracy": float(np.mean(top3)),
        "log_loss": float(-np.log(np.maximum(of_label, np.finfo(np.float64).eps)).mean()),
    }


def confusion_counts(predictions: LabeledPredictions) -> np.ndarray:
    """Count the products by label and prediction: int64 of shape (classes, classes)."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(
        predictions.y_true, predictions.y_pred, labels=range(len(predictions.classes))
    )
