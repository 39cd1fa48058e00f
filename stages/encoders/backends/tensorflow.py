"""Running a network by TensorFlow: on a GPU, or as the reference on a processor."""

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from stages.common.keras_weights import import_keras
from stages.encoders.backends.base import CORES, Backend, Row, collected
from stages.encoders.backends.batching import AT_ONCE, Batches, Wait


def import_tensorflow() -> ModuleType:
    """Return the module tensorflow, set up as Keras' backend."""
    import_keras()
    import tensorflow

    return tensorflow


class TensorflowNetwork:
    """A function of TensorFlow that takes a batch of rows and gives [batch, n_features].

    A batch has `size` rows; where memory does not hold so many, half of them, and so on.
    """

    def __init__(self, function: Any, backend: Backend, size: int) -> None:
        import_tensorflow().config.experimental.enable_tensor_float_32_execution(False)
        self.n_features: int = function.get_concrete_function().output_shapes[1]
        self.feeders = CORES
        self.ahead = 16 + AT_ONCE * size
        self._function = function
        self._batches = Batches(self._compute, lambda row: size, small=backend.low_latency)

    def run(self, rows: Iterable[Row]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each row, in their order."""
        return collected(self.stream(rows), self.n_features)

    def stream(self, rows: Iterable[Row]) -> Iterator[np.ndarray]:
        """Yield float32 (k, n_features): vectors of the rows, in their order, as they are done."""
        return self._batches.stream(rows)

    def _compute(self, rows: list[Row]) -> Wait | None:
        """Start to compute a batch; see `batching.Compute`."""
        try:
            found = self._function(*map(np.concatenate, zip(*rows, strict=True)))
        except import_tensorflow().errors.ResourceExhaustedError:
            return None
        return lambda: np.asarray(found, dtype=np.float32)
