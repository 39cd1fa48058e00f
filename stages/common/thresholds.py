"""The probability above which predictions are right as often as was promised."""

import numpy as np

TARGETS = (0.9, 0.95, 0.98, 0.99, 0.995)  # accuracies that a saved model has thresholds for


def accuracy_by_confidence(
    confidence: np.ndarray, correct: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (confidence, accuracy so far), the most confident first: of shape (n,) each."""
    order = np.argsort(-confidence, kind="stable")
    return confidence[order], np.cumsum(correct[order]) / np.arange(1, len(order) + 1)


def find_threshold(confidence: np.ndarray, correct: np.ndarray, target: float) -> float | None:
    """Return the lowest probability at which accepted predictions reach the target accuracy.

    `confidence` are the probabilities of the predictions, `correct`, boolean, whether they are
    right; both of shape (n,). None where no threshold reaches the target. It is reached on these
    products; others may miss it.
    """
    confidence, accuracy = accuracy_by_confidence(confidence, correct)
    last_of_equals = np.append(confidence[1:] != confidence[:-1], True)[: len(confidence)]
    reached = np.flatnonzero(last_of_equals & (accuracy >= target))
    return float(confidence[reached[-1]]) if len(reached) else None
