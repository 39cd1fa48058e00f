"""A PyTorch module that gives vectors: run on a GPU or as the reference, or made OpenVINO's."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from stages.encoders.backends.base import Backend, Row
from stages.encoders.backends.batching import GPU_BATCH, run_in_batches
from stages.encoders.backends.openvino import import_openvino


class TorchNetwork:
    """A module that gives [batch, n_features]; `example` is a row."""

    def __init__(self, module: Any, example: Row, backend: Backend) -> None:
        import torch

        self.n_features: int = module(*_tensors(example)).shape[1]
        self._module = module.to(backend.device)
        self._backend = backend
        # In full float32, and the same numbers each time.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True

    def run(self, rows: Iterable[Row]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each row, in their order."""
        size = 1 if self._backend.device == "cpu" else GPU_BATCH
        return run_in_batches(self._compute, rows, size, self.n_features)

    def _compute(self, *inputs: np.ndarray) -> Any:
        import torch

        device, is_bfloat16 = self._backend.device, self._backend.precision == "bfloat16"
        tensors = [tensor.to(device) for tensor in _tensors(inputs)]
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=is_bfloat16):
            return self._module(*tensors).float()


def openvino_model(module: Any, example: Row, is_fixed: bool) -> Any:
    """Convert a module; `example` is a row, and if it `is_fixed` every row has its shapes."""
    tensors = _tensors(example)
    module(*tensors)  # what is wrong with the network is said here, in plainer words
    shapes = {"input": [tuple(array.shape) for array in example]} if is_fixed else {}
    ov = import_openvino()
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # PyTorch would run the network three times more to check what it recorded of it.
    decoder = TorchScriptPythonDecoder(
        module, example_input=tuple(tensors), trace_kwargs={"check_trace": False}
    )
    return ov.convert_model(decoder, example_input=tuple(tensors), **shapes)


def _tensors(row: Row) -> list[Any]:
    import torch

    return [torch.from_numpy(array) for array in row]
