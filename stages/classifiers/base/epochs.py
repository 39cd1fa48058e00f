"""What classifiers that PyTorch trains in epochs have in common."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np

from stages.common.blocks import Blocks

CURVES = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
# Rows of unit length have tiny numbers: a layer whose inputs are this long learns in few epochs.
INPUT_LENGTH = 20
EPSILON = 1e-7  # the smallest probability that a loss takes the logarithm of

ClassWeight = Literal["balanced", "sqrt"] | None
History = dict[str, list[float]]


def record(history: History, part: str, loss: float, accuracy: float) -> None:
    """Add an epoch's loss and accuracy to the curves of `part`, train or validation."""
    history[f"{part}_loss"].append(loss)
    history[f"{part}_accuracy"].append(accuracy)


def judge(
    predict_proba: Callable[[Blocks], np.ndarray], classes: list[str], X: Blocks, y: np.ndarray
) -> tuple[float, float]:
    """Return the loss and the accuracy on those products whose classes are among `classes`."""
    known = np.isin(y, classes)
    if not known.all():
        X, y = {name: rows[known] for name, rows in X.items()}, y[known]
    columns = np.searchsorted(classes, y)
    probabilities = predict_proba(X)
    of_label = probabilities[np.arange(len(y)), columns]
    loss = -np.log(np.maximum(of_label, EPSILON)).mean()
    return float(loss), float((probabilities.argmax(axis=1) == columns).mean())


def sample_weights(y: np.ndarray, class_weight: ClassWeight) -> np.ndarray:
    """Return how much each product counts, float32 of shape (n,), 1 on average.

    In "balanced" every class counts the same, as in scikit-learn; in "sqrt" a class counts as the
    square root of the number of its products.
    """
    from sklearn.utils.class_weight import compute_sample_weight

    weights = compute_sample_weight("balanced" if class_weight == "sqrt" else class_weight, y)
    if class_weight == "sqrt":
        weights = np.sqrt(weights) / np.sqrt(weights).mean()
    return weights.astype(np.float32)


@contextmanager
def reproducible(seed: int, device: str = "cpu") -> Iterator[None]:
    """Let PyTorch draw from a seed and use one thread: each number of threads rounds differently.

    On cuda it also takes algorithms that give the same numbers each time; where it has none of some
    layer, that raises a RuntimeError. Its own random numbers, threads and algorithms are as before
    in the end.
    """
    import torch

    threads = torch.get_num_threads()
    algorithms = torch.get_deterministic_debug_mode()
    torch.set_num_threads(1)
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which the algorithms need
        torch.set_deterministic_debug_mode("error")
    try:
        with torch.random.fork_rng(devices=["cuda"] if device == "cuda" else []):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(algorithms)


def new_history() -> History:
    """Return curves without an epoch."""
    return {name: [] for name in CURVES}
