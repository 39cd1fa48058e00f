"""Blocks of vectors, as classifiers see them: each has a row per product."""

from collections.abc import Mapping

import numpy as np

Blocks = Mapping[str, np.ndarray]  # block names to float32 of shape (n, size), rows of unit length


def concatenate(X: Blocks, block_weights: Mapping[str, float]) -> np.ndarray:
    """Return the weighted blocks side by side, float32 of shape (n, sum of sizes)."""
    sizes = [X[name].shape[1] for name in block_weights]
    rows = len(next(iter(X.values())))
    found = np.empty((rows, sum(sizes)), dtype=np.float32)
    ends = np.cumsum(sizes)
    for (name, weight), size, end in zip(block_weights.items(), sizes, ends, strict=True):
        np.multiply(X[name], np.float32(weight), out=found[:, end - size : end])
    return found
