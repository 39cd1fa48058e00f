"""What a backend is, and what a network is that it runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

# A network's inputs for one image or text, each an array with a first axis of 1.
Row: TypeAlias = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Backend:
    """How a network is run.

    `name` is openvino, torch or tensorflow, or what computes an encoder without a network;
    `precision` is float32 or bfloat16, and `device` cpu, cuda or mps. With `low_latency` all cores
    compute a row that comes alone, which OpenVINO may round differently on some processors.
    """

    name: str
    precision: str
    device: str = "cpu"
    low_latency: bool = False


class Network(Protocol):
    """A network that turns rows into vectors."""

    n_features: int

    def run(self, rows: Iterable[Row]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each row, in their order.

        Rows are taken one by one, so that the next is prepared while the network computes.
        """
