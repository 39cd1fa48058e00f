"""An encoder that other machines run: each loads it once, and encodes a batch at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from stages.compute.base import Workers
from stages.compute.loader import Loader
from stages.encoders.backends.base import collected
from stages.encoders.base import Encoder, stream

BATCH = 256  # inputs that a machine gets at once


class DistributedEncoder:
    """An encoder on several machines."""

    def __init__(self, loader: Loader[Encoder], workers: Workers) -> None:
        self._loader = loader
        self._workers = workers
        self.n_features: int = workers.call(partial(_n_features, loader))

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each RGB image or text, in their order."""
        return collected(self.stream(batch, _as_it_is), self.n_features)

    def stream(self, inputs: Iterable[Any], opened: Callable[[Any], Any]) -> Iterator[np.ndarray]:
        """Yield float32 (k, n_features): vectors of the inputs, in their order.

        `opened` makes an RGB image or a text of an input; it is called on the other machines.
        """
        yield from self._workers.map(partial(_encode, self._loader, opened), _batches(inputs))


def _batches(inputs: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(inputs)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _as_it_is(one: Any) -> Any:
    return one


def _n_features(loader: Loader[Encoder]) -> int:
    return loader.get().n_features


def _encode(
    loader: Loader[Encoder], opened: Callable[[Any], Any], batch: Sequence[Any]
) -> np.ndarray:
    encoder = loader.get()
    return collected(stream(encoder, batch, opened), encoder.n_features)
