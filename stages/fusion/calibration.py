"""Calibrated probabilities: how far to trust several models, and how to pool what they predict.

A pool is fitted on products that the models were not fitted on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

EPSILON = 1e-7  # the least probability: a forest may give 0, which has no logarithm
CAUTION = 100  # validation products that count as much as a pool's main model


@dataclass(frozen=True)
class LogOpinionPool:
    """A logarithmic opinion pool (Genest and Zidek 1986, Combining Probability Distributions).

    `weights` holds by name how far each model is trusted, 0 or more; that of a single model is the
    inverse of a temperature (Guo et al. 2017, On Calibration of Modern Neural Networks). The result
    is divided by the classes' `frequencies` to the power of `prior_exponent`: models that learnt
    from few products of a class lean towards the frequent ones (Menon et al. 2021, Long-tail
    Learning via Logit Adjustment).
    """

    weights: dict[str, float]
    prior_exponent: float
    frequencies: list[float]

    def predict_proba(self, models: Mapping[str, np.ndarray]) -> np.ndarray:
        """Pool the models' probabilities, each of shape (n, classes); float32 of that shape.

        A class of frequency 0, which no model was fitted on, gets 0, and no other class does.
        Raises KeyError where a model of the pool is not given.
        """
        from scipy.special import softmax

        frequencies = np.array(self.frequencies)
        terms = _terms([models[name] for name in self.weights], frequencies)
        powers = np.array([*self.weights.values(), self.prior_exponent])
        logs = np.tensordot(powers, terms, 1)
        logs[:, frequencies == 0] = -np.inf
        found = softmax(logs, axis=1).astype(np.float32)
        return np.maximum(found, np.where(frequencies == 0, 0, np.finfo(np.float32).tiny))


def even_pool(models: Mapping[str, np.ndarray]) -> np.ndarray:
    """Pool the models' probabilities with equal trust in each, before any calibration."""
    first = next(iter(models.values()))
    if len(models) == 1:
        return first
    n_classes = first.shape[1]
    weights = dict.fromkeys(models, 1 / len(models))
    return LogOpinionPool(weights, 0, [1 / n_classes] * n_classes).predict_proba(models)


def pool_present(pool: LogOpinionPool, models: Mapping[str, np.ndarray]) -> np.ndarray:
    """Pool probabilities, float32 of shape (n, classes); where all are zeros, so is the result."""
    found = pool.predict_proba(models)
    found[~np.logical_or.reduce([rows.any(axis=1) for rows in models.values()])] = 0
    return found


def fit_pool(
    models: Mapping[str, np.ndarray],
    y_true: np.ndarray,
    frequencies: np.ndarray,
    main: str | None = None,
    n_products: int | None = None,
) -> LogOpinionPool:
    """Fit the pool of models under which the labels are the likeliest.

    `models` holds the probabilities of each, of shape (n, classes), n > 0; `y_true` is int of shape
    (n,), the labels' columns; `frequencies`, of shape (classes,), are those of the classes among
    the products that the models were fitted on. `main` names the model to trust where the labels
    are too few to tell. `n_products` are the different products among the n, where some of them
    were predicted several times, by models of several folds.

    A few labels that are all predicted well must not make a pool sure of everything. So a share
    1 / (n_products + 2) of each is spread over all classes (as Platt 1999, Probabilistic Outputs
    for Support Vector Machines, does for two), and a `prior_exponent` far from 0 is penalised. So
    is trust in models other than `main`: a ridge penalty on their weights, the smaller the more
    products there are.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    n, classes = len(y_true), len(frequencies)
    n_products = n_products or n
    terms = _terms(models.values(), frequencies)
    targets = np.full((n, classes), 1 / (n_products + 2) / classes)
    targets[np.arange(n), y_true] += 1 - 1 / (n_products + 2)

    others = [0 if main is None or name == main else CAUTION for name in models]
    penalties = np.array([*others, 1]) / n_products

    def loss(powers: np.ndarray) -> tuple[float, np.ndarray]:
        logs = log_softmax(np.tensordot(powers, terms, 1), axis=1)
        slopes = ((np.exp(logs) - targets) * terms).sum(axis=2).mean(axis=1)
        penalty = penalties @ powers**2
        return penalty - (targets * logs).sum(axis=1).mean(), slopes + 2 * penalties * powers

    start = np.append(np.full(len(models), 1 / len(models)), 0)
    bounds = [(0, None)] * len(models) + [(-2, 2)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    *weights, prior_exponent = found.tolist()
    return LogOpinionPool(
        dict(zip(models, weights, strict=True)), prior_exponent, frequencies.tolist()
    )


def _terms(models: Iterable[np.ndarray], frequencies: np.ndarray) -> np.ndarray:
    """Return what a pool weighs: the logarithms of the models, and last the rarity of the classes.

    A class that the models were not fitted on has the rarity 0.
    """
    logs = [np.log(np.maximum(np.asarray(rows, dtype=np.float64), EPSILON)) for rows in models]
    rarity = -np.log(np.where(frequencies > 0, frequencies, 1))
    return np.stack([*logs, np.broadcast_to(rarity, logs[0].shape)])
