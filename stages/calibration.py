"""Probabilities that can be believed, and the joining of several models' probabilities.

What is learnt here is learnt on products that the models were not fitted on.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

LEAST = 1e-7  # a forest may say 0, which no product would ever forgive


def fit_temperature(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Find the temperature under which labels are the likeliest.

    `probabilities` is of shape (n, classes), n > 0; `truth` is int of shape (n,), the labels'
    columns. Guo et al. 2017, On Calibration of Modern Neural Networks.
    """
    logs = _logs(probabilities)

    def loss(log_temperature: float) -> float:
        return _loss(logs / np.exp(log_temperature), truth)

    return float(np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Soften (above 1) or sharpen (below 1) probabilities of shape (n, classes); float32."""
    return softmax(_logs(probabilities) / temperature, axis=1).astype(np.float32)


def fit_pool(models: Sequence[np.ndarray], truth: np.ndarray) -> list[float]:
    """Find how far to trust each of several models: the weights of a logarithmic opinion pool.

    `models` holds each one's probabilities, of shape (n, classes), n > 0; `truth` is int of shape
    (n,). Weights are 0 or more. Genest and Zidek 1986, Combining Probability Distributions.
    """
    logs = np.stack([_logs(probabilities) for probabilities in models])
    rows = np.arange(len(truth))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        joined = np.tensordot(weights, logs, 1)
        expected = (softmax(joined, axis=1) * logs).sum(axis=2).mean(axis=1)
        return _loss(joined, truth), expected - logs[:, rows, truth].mean(axis=1)

    start = np.full(len(models), 1 / len(models))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, 20)] * len(models))
    return [float(weight) for weight in found.x]


def pooled(models: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Join models' probabilities, each of shape (n, classes), with the weights of `fit_pool`."""
    joined = sum(
        weight * _logs(probabilities) for weight, probabilities in zip(weights, models, strict=True)
    )
    return softmax(joined, axis=1).astype(np.float32)


def _logs(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), LEAST))


def _loss(scores: np.ndarray, truth: np.ndarray) -> float:
    return -float(log_softmax(scores, axis=1)[np.arange(len(truth)), truth].mean())
