"""An encoder that is a network and what prepares its inputs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from stages.encoders.backends.base import CORES, Network, Row
from stages.encoders.feed import prepared


class NetworkEncoder(ABC):
    """Turns images or texts into vectors; a kind says in `prepare` what its network takes.

    At most `max_feeders` threads prepare inputs.
    """

    max_feeders = CORES

    def __init__(self, network: Network) -> None:
        self.network = network
        self.n_features = network.n_features

    @abstractmethod
    def prepare(self, one: Any) -> Row:
        """Return what the network takes of an RGB image or a text; called by several threads."""

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each RGB image or text, in their order."""
        with closing(self._rows(self.prepare, batch)) as rows:
            return self.network.run(rows)

    def stream(self, inputs: Iterable[Any], opened: Callable[[Any], Any]) -> Iterator[np.ndarray]:
        """Yield float32 (k, n_features): vectors of the inputs, in their order, as they are done.

        `opened` makes an RGB image or a text of an input; called by several threads.
        """
        with closing(self._rows(lambda one: self.prepare(opened(one)), inputs)) as rows:
            yield from self.network.stream(rows)

    def _rows(
        self, prepare: Callable[[Any], Row], inputs: Iterable[Any]
    ) -> Generator[Row, None, None]:
        threads = min(self.network.feeders, self.max_feeders)
        return prepared(prepare, inputs, threads, self.network.ahead)
