"""Running a network in batches of one size, as its own framework does best on a GPU."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from stages.encoders.backends.base import Row

GPU_BATCH = 32


def run_in_batches(
    compute: Callable[..., Any], rows: Iterable[Row], size: int, n_features: int
) -> np.ndarray:
    """Return float32 (n, n_features): a vector for each row, in their order.

    `compute` takes a row's inputs with a first axis of `size` and returns an array of vectors,
    which a GPU may still be computing: the next batch is prepared meanwhile. Rows of one shape
    share a batch and the last of them fill it up, so that a row is computed in the same shape
    whatever is around it.
    """
    pending: deque[tuple[Any, int]] = deque()
    found: list[np.ndarray] = []
    for batch in _batches(rows, size):
        filled = batch + [batch[-1]] * (size - len(batch))
        inputs = (np.concatenate(arrays) for arrays in zip(*filled, strict=True))
        pending.append((compute(*inputs), len(batch)))
        if len(pending) == 2:
            found.append(_vectors(*pending.popleft()))
    found += [_vectors(*one) for one in pending]
    return np.concatenate(found) if found else np.zeros((0, n_features), dtype=np.float32)


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Yield runs of rows of the same shapes, up to `size` together."""
    for _, same in itertools.groupby(rows, key=lambda row: [array.shape for array in row]):
        while batch := list(itertools.islice(same, size)):
            yield batch


def _vectors(found: Any, count: int) -> np.ndarray:
    """Wait for a batch and return its vectors without those that filled it up."""
    host = found.cpu() if hasattr(found, "cpu") else found
    return np.asarray(host, dtype=np.float32)[:count]
