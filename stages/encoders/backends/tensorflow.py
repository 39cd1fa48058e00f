"""Running a network by TensorFlow on a processor, as a reference."""

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from stages.common.keras_weights import import_keras
from stages.encoders.backends.base import CORES, Row, collected


def import_tensorflow() -> ModuleType:
    """Return the module tensorflow, set up as Keras' backend."""
    import_keras("tensorflow")
    import tensorflow

    return tensorflow


class TensorflowNetwork:
    """A function of TensorFlow that takes a row and gives [1, n_features]."""

    ahead = 16
    feeders = CORES

    def __init__(self, function: Any) -> None:
        self.n_features: int = function.get_concrete_function().output_shapes[1]
        self._function = function

    def run(self, rows: Iterable[Row]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each row, in their order."""
        return collected(self.stream(rows), self.n_features)

    def stream(self, rows: Iterable[Row]) -> Iterator[np.ndarray]:
        """Yield float32 (1, n_features): vectors of the rows, in their order, as they are done."""
        for row in rows:
            yield np.asarray(self._function(*row), dtype=np.float32)
