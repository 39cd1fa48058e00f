"""A network of TensorFlow: run by it on a processor, as a reference, or converted for OpenVINO."""

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from stages.common.keras_weights import import_keras
from stages.common.openvino import import_openvino
from stages.encoders.backends.base import CORES, Row, collected


def import_tensorflow() -> ModuleType:
    """Return the module tensorflow, set up as Keras' backend."""
    import_keras("tensorflow")
    import tensorflow

    return tensorflow


def openvino_model(function: Any) -> Any:
    """Return OpenVINO's network of a function of TensorFlow."""
    openvino, tensorflow = import_openvino(), import_tensorflow()
    from openvino.frontend.tensorflow import utils

    # It finds the version out by a `del` in an `exec`, which Python 3.13 refuses: a NameError.
    utils.get_environment_setup = lambda _: {"tensorflow": tensorflow.__version__}
    return openvino.convert_model(function)


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
