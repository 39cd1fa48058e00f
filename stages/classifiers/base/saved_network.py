"""A tuned network as it is saved and predicts: in OpenVINO, with what prepares its inputs.

Neither PyTorch nor Transformers is needed to use it, and loading it runs no code.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import numpy as np

from stages.common.errors import InputError
from stages.common.openvino import import_openvino, read_network
from stages.common.per_process import PerProcess

MODEL_FILE = "network.xml"


class SavedNetwork(ABC):
    """From texts or images to vectors of unit length; the weights are kept in float16."""

    modality: ClassVar[str]  # text or image

    def __init__(self, model: Any, preparation: Any) -> None:
        """Take OpenVINO's network, and what prepares its inputs."""
        self.n_features: int = model.output(0).get_partial_shape()[1].get_length()
        self._model = model
        self._preparation = preparation
        self._request = PerProcess(partial(_request, model))

    @abstractmethod
    def prepare(self, one: Any) -> Sequence[np.ndarray]:
        """Return what the network takes of a text or an image."""

    @abstractmethod
    def save_preparation(self, folder: Path) -> None:
        """Write what prepares inputs into `folder`."""

    @staticmethod
    @abstractmethod
    def load_preparation(folder: Path) -> Any:
        """Return what `save_preparation` wrote; raises any Exception for other content."""

    def save(self, folder: Path) -> None:
        """Write the network and what prepares its inputs into `folder`."""
        # The names of a network count what was converted before in the process.
        self._model.set_friendly_name("network")
        for at, node in enumerate(self._model.get_ordered_ops()):
            node.set_friendly_name(f"{node.get_type_name()}_{at}")
        import_openvino().save_model(self._model, folder / MODEL_FILE)
        self.save_preparation(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote; raises InputError where it is missing or damaged."""
        try:
            model = read_network(folder / MODEL_FILE)
            preparation = cls.load_preparation(folder)
        except Exception as error:  # RuntimeError of the one, a bare Exception of the other
            raise InputError(
                f"{folder} holds no {cls.modality} network ({type(error).__name__}): "
                "`dvc repro -f` rebuilds it"
            ) from None
        return cls(model, preparation)

    def reloaded(self) -> Self:
        """Return the network as it is saved and loaded again, so that both give the same bits."""
        with TemporaryDirectory() as name:
            self.save(Path(name))
            return self.load(Path(name))

    def encode(self, inputs: Sequence[Any]) -> np.ndarray:
        """Return the inputs' vectors, float32 of shape (n, n_features); zeros where none is."""
        request = self._request()
        found = np.zeros((len(inputs), self.n_features), dtype=np.float32)
        for row, one in enumerate(inputs):
            if one:
                request.infer(list(self.prepare(one)))
                found[row] = request.get_output_tensor(0).data[0]
        return found


def _request(model: Any) -> Any:
    """Return a request that all cores compute."""
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    return import_openvino().Core().compile_model(model, "CPU", hints).create_infer_request()
