"""Blocks, as classifiers see them: what each encoder makes of every product, or reads of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stages.common.image_network import ImageNetwork
from stages.common.keras_network import KerasNetwork
from stages.common.large_arrays import empty_array
from stages.common.text_network import TextNetwork

# Block names to float32 of shape (n, size), rows of unit length; for classifiers that read inputs
# themselves, names of `input_key` to InputBlock too.
Blocks = Mapping[str, Any]


@dataclass(frozen=True)
class InputBlock:
    """What an encoder read of n products: objects of shape (n,), str of texts, or bytes of JPEGs.

    They are empty or None where a product has none. `network` is the encoder's own, None where
    nothing is to be fitted; `replaces` names the blocks that it may stand for: all of the text, or
    all of the image.
    """

    inputs: np.ndarray
    network: TextNetwork | ImageNetwork | KerasNetwork | None = None
    replaces: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """Return the number of products."""
        return len(self.inputs)

    def __getitem__(self, rows: Any) -> "InputBlock":
        """Return the inputs of some products, by a boolean mask, indices or a slice."""
        return replace(self, inputs=self.inputs[rows])

    @property
    def there(self) -> np.ndarray:
        """Which products have an input, boolean of shape (n,)."""
        return np.array([bool(one) for one in self.inputs], dtype=bool)


def input_key(block: str) -> str:
    """Return the name under which a block's inputs lie beside its vectors."""
    return f"{block}.input"  # no name of a block has a dot


def mean_key(block: str) -> str:
    """Return the name under which a block's mean lies beside its vectors, float32 (size,)."""
    return f"{block}.mean"


def uncentred(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return vectors of unit length as they were before a mean was taken off.

    `rows`, float32 of shape (n, size), are what was left of each, at unit length again: r - mean =
    s * row, for the only s > 0 that makes r a unit vector. Rows of zeros stay so.
    """
    along = rows @ mean
    rest = max(0.0, 1 - float(mean @ mean))  # a mean of unit vectors is no longer than these
    scale = np.sqrt(along**2 + np.float32(rest)) - along
    found = mean + scale[:, None] * rows
    found[~rows.any(axis=1)] = 0
    return found


def concatenate(X: Blocks, block_weights: Mapping[str, float]) -> np.ndarray:
    """Return the weighted blocks side by side, float32 of shape (n, sum of sizes)."""
    sizes = [X[name].shape[1] for name in block_weights]
    rows = len(next(iter(X.values())))
    found = empty_array((rows, sum(sizes)))
    ends = np.cumsum(sizes)
    for (name, weight), size, end in zip(block_weights.items(), sizes, ends, strict=True):
        np.multiply(X[name], np.float32(weight), out=found[:, end - size : end])
    return found
