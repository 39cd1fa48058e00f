"""Running a network in batches of one size, as its own framework does best on a GPU."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

Row = tuple[np.ndarray, ...]
GPU_BATCH = 32


def in_batches(compute: Callable[..., Any], rows: Iterable[Row], size: int) -> Iterator[np.ndarray]:
    """Yield a float32 vector for each row, in their order.

    A row is the network's inputs, each an array with a first axis of 1; `compute` takes them with a
    first axis of `size` and gives an array of vectors, which may still be under way on a GPU: the
    next batch is prepared meanwhile. Rows of one shape share a batch and the last of them fill it
    up, so that a row is computed in the same shape whatever is around it.
    """
    under_way: deque[tuple[Any, int]] = deque()
    for batch in _batches(rows, size):
        filled = batch + [batch[-1]] * (size - len(batch))
        inputs = (np.concatenate(arrays) for arrays in zip(*filled, strict=True))
        under_way.append((compute(*inputs), len(batch)))
        if len(under_way) == 2:
            yield from _vectors(*under_way.popleft())
    for found, count in under_way:
        yield from _vectors(found, count)


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Yield runs of rows of the same shapes, up to `size` together."""
    for _, same in itertools.groupby(rows, key=lambda row: [array.shape for array in row]):
        while batch := list(itertools.islice(same, size)):
            yield batch


def _vectors(found: Any, count: int) -> Iterator[np.ndarray]:
    """Wait for a batch and yield its vectors without those that filled it up."""
    host = found.cpu() if hasattr(found, "cpu") else found
    yield from np.asarray(host, dtype=np.float32)[:count]
