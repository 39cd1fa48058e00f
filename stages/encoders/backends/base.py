"""What a backend is, and what a network is that it runs."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

# A network's inputs for one image or text, each an array with a first axis of 1.
Row: TypeAlias = tuple[np.ndarray, ...]

CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Backend:
    """How a network is run.

    `name` is openvino, torch or tensorflow, or what computes an encoder without a network;
    `precision` is float32, bfloat16 or int8, and `device` cpu, cuda or mps. With `low_latency` all
    cores compute a row that comes alone, and a GPU gets no more rows than there are: both may round
    differently.
    """

    name: str
    precision: str
    device: str = "cpu"
    low_latency: bool = False


class Network(Protocol):
    """A network that turns rows into vectors.

    `feeders` threads should prepare its rows, up to `ahead` of them before they are asked for.
    """

    n_features: int
    feeders: int
    ahead: int

    def run(self, rows: Iterable[Row]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each row, in their order.

        Rows are taken one by one, so that the next is prepared while the network computes.
        """

    def stream(self, rows: Iterable[Row]) -> Iterator[np.ndarray]:
        """Yield float32 (k, n_features): vectors of the rows, in their order, as they are done."""


def collected(parts: Iterable[np.ndarray], n_features: int) -> np.ndarray:
    """Return the vectors that a network streams as one array, float32 (n, n_features)."""
    return np.concatenate([np.zeros((0, n_features), dtype=np.float32), *parts])
