"""Probabilities that can be believed: several models' joined, and what each is worth.

What is learnt here is learnt on products that the models were not fitted on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

LEAST = 1e-7  # a forest may say 0, which no product would ever forgive


@dataclass(frozen=True)
class Pool:
    """A logarithmic opinion pool (Genest and Zidek 1986, Combining Probability Distributions).

    `weights` says by name how far each model is trusted, 0 or more; that of a single model is the
    inverse of a temperature (Guo et al. 2017, On Calibration of Modern Neural Networks). `prior` is
    the power of the classes' `frequencies` that the result is divided by: models that learnt from
    few products of a class lean towards the frequent ones (Menon et al. 2021, Long-tail Learning
    via Logit Adjustment).
    """

    weights: dict[str, float]
    prior: float
    frequencies: list[float]


def fit_pool(models: Mapping[str, np.ndarray], truth: np.ndarray, frequencies: np.ndarray) -> Pool:
    """Find the pool of models under which labels are the likeliest.

    `models` holds each one's probabilities, of shape (n, classes), n > 0; `truth` is int of shape
    (n,), the labels' columns; `frequencies`, of shape (classes,), are those of the classes among
    the products that the models were fitted on.

    Where there are few labels, and none of them surprises, they must not make a pool sure of
    everything: a share 1 / (n + 2) of each is spread over all classes (as Platt 1999, Probabilistic
    Outputs for Support Vector Machines, does for two), and a `prior` far from 0 counts against it.
    """
    n, classes = len(truth), len(frequencies)
    terms = _terms(models.values(), frequencies)
    targets = np.full((n, classes), 1 / (n + 2) / classes)
    targets[np.arange(n), truth] += 1 - 1 / (n + 2)

    def loss(powers: np.ndarray) -> tuple[float, np.ndarray]:
        logs = log_softmax(np.tensordot(powers, terms, 1), axis=1)
        slopes = ((np.exp(logs) - targets) * terms).sum(axis=2).mean(axis=1)
        slopes[-1] += 2 * powers[-1] / n
        return -(targets * logs).sum(axis=1).mean() + powers[-1] ** 2 / n, slopes

    start = np.append(np.full(len(models), 1 / len(models)), 0)
    bounds = [(0, None)] * len(models) + [(-2, 2)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    *weights, prior = found.tolist()
    return Pool(dict(zip(models, weights, strict=True)), prior, frequencies.tolist())


def pooled(models: Mapping[str, np.ndarray], pool: Pool) -> np.ndarray:
    """Join the probabilities of the models that a pool names, each of shape (n, classes); float32.

    Raises KeyError where one of them is not given.
    """
    terms = _terms([models[name] for name in pool.weights], np.array(pool.frequencies))
    powers = np.array([*pool.weights.values(), pool.prior])
    return softmax(np.tensordot(powers, terms, 1), axis=1).astype(np.float32)


def _terms(models: Iterable[np.ndarray], frequencies: np.ndarray) -> np.ndarray:
    """Return what a pool weighs: the models' logarithms, and last the classes' rarity.

    A class that the models never met is no rare one: its rarity is 0.
    """
    logs = [np.log(np.maximum(np.asarray(rows, dtype=np.float64), LEAST)) for rows in models]
    rarity = -np.log(np.where(frequencies > 0, frequencies, 1))
    return np.stack([*logs, np.broadcast_to(rarity, logs[0].shape)])
