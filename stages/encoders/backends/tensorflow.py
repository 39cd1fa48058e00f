"""Running a network by TensorFlow: on a GPU, or as the reference on a processor."""

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import numpy as np

from stages.common.keras_weights import import_keras
from stages.encoders.backends.base import Backend, Row
from stages.encoders.backends.batching import GPU_BATCH, run_in_batches


def import_tensorflow() -> ModuleType:
    """Return the module tensorflow, set up as Keras' backend."""
    import_keras()
    import tensorflow

    return tensorflow


class TensorflowNetwork:
    """A function of TensorFlow that gives [batch, n_features]; `build` makes it for a batch."""

    def __init__(self, build: Callable[[int], Any], backend: Backend) -> None:
        import_tensorflow().config.experimental.enable_tensor_float_32_execution(False)
        self._batch = 1 if backend.device == "cpu" else GPU_BATCH
        self._function = build(self._batch)
        self.n_features: int = self._function.get_concrete_function().output_shapes[1]

    def run(self, rows: Iterable[Row]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each row, in their order."""
        return run_in_batches(self._function, rows, self._batch, self.n_features)
