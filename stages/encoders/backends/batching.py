"""Running a network in batches of rows, as its own framework does best on a GPU."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np

from stages.common.errors import InputError
from stages.encoders.backends.base import Row

GPU_IMAGES = 256  # images in a batch on a GPU, where its memory holds so many
GPU_TOKENS = 16384  # tokens in one, with those that pad texts
AT_ONCE = 2  # batches that a GPU has: it computes one while the vectors of the other are used

Wait: TypeAlias = Callable[[], np.ndarray]  # waits for a batch; returns its vectors, float32
# Starts to compute a batch, or returns None where the memory does not hold one of so many rows.
Compute: TypeAlias = Callable[[list[Row]], Wait | None]


class Batches:
    """Puts rows of one shape into batches of one size, so that no row's bits depend on the others.

    A network may round differently in a batch of another size. So copies of a row fill up the last
    batch of a shape, unless it may be `small`: then it has the next power of two.
    """

    def __init__(self, compute: Compute, size: Callable[[Row], int], small: bool = False) -> None:
        """Take what computes a batch, and how many rows like a given one a batch has at most."""
        self._compute = compute
        self._size = size
        self._small = small
        self._halvings = 0  # of all sizes, because memory did not suffice

    def stream(self, rows: Iterable[Row]) -> Iterator[np.ndarray]:
        """Yield float32 (k, n_features): vectors of the rows, in their order, as they are done.

        Raises InputError where the memory does not hold a batch of one row.
        """
        done: dict[int, np.ndarray] = {}
        first = 0  # the row whose vector is the next to yield
        for numbers, vectors in _finished(self._started(rows)):
            done.update(zip(numbers, vectors, strict=False))  # without those that filled it up
            last = first
            while last in done:
                last += 1
            if last > first:
                yield np.stack([done.pop(number) for number in range(first, last)])
            first = last

    def _started(self, rows: Iterable[Row]) -> Iterator[tuple[list[int], Wait]]:
        """Start each batch, in parts where memory does not hold it; yield its rows' numbers."""
        for batch in self._batches(rows):
            start = 0
            while start < len(batch):
                size = self._limit(batch[0][1])
                part = batch[start : start + size]
                if self._small:
                    size = min(size, 1 << (len(part) - 1).bit_length())
                copies = [part[-1]] * (size - len(part))
                wait = self._compute([row for _, row in part + copies])
                if wait is not None:
                    yield [number for number, _ in part], wait
                    start += size
                elif size > 1:
                    self._halvings += 1
                else:
                    raise InputError(
                        "the GPU's memory does not hold the network and one input: free some of "
                        "it, or set `backend: openvino`"
                    )

    def _batches(self, rows: Iterable[Row]) -> Iterator[list[tuple[int, Row]]]:
        """Yield runs of numbered rows of one shape."""
        open_batches: dict[tuple[tuple[int, ...], ...], list[tuple[int, Row]]] = {}
        for number, row in enumerate(rows):
            shape = tuple(array.shape for array in row)
            batch = open_batches.setdefault(shape, [])
            batch.append((number, row))
            if len(batch) >= self._limit(row):
                yield open_batches.pop(shape)
            # Rows of a shape that has become rare keep all that follow from being yielded.
            for other, batch in list(open_batches.items()):
                if number - batch[0][0] >= 2 * self._limit(batch[0][1]):
                    yield open_batches.pop(other)
        yield from open_batches.values()

    def _limit(self, row: Row) -> int:
        return max(1, self._size(row) >> self._halvings)


def _finished(
    started: Iterable[tuple[list[int], Wait]],
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield each batch once it is computed, when the next has been started."""
    running: deque[tuple[list[int], Wait]] = deque()
    for batch in started:
        running.append(batch)
        if len(running) == AT_ONCE:
            numbers, wait = running.popleft()
            yield numbers, wait()
    for numbers, wait in running:
        yield numbers, wait()
