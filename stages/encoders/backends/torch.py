"""A PyTorch module that gives vectors: run on a GPU or as the reference, or made OpenVINO's."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from stages.encoders.backends.batching import GPU_BATCH, Row, in_batches
from stages.encoders.backends.selection import Backend


class TorchNetwork:
    """A module that gives [batch, size]: a vector per row. `example` is a row."""

    def __init__(self, module: torch.nn.Module, example: Row, engine: Backend) -> None:
        self.size: int = module(*_tensors(example)).shape[1]
        self._module = module.to(engine.device)
        self._engine = engine
        # In full float32, and the same numbers each time.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True

    def run(self, rows: Iterable[Row]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each row, in their order."""
        return in_batches(self._compute, rows, 1 if self._engine.device == "cpu" else GPU_BATCH)

    @torch.inference_mode()
    def _compute(self, *inputs: np.ndarray) -> torch.Tensor:
        device, is_bfloat16 = self._engine.device, self._engine.precision == "bfloat16"
        tensors = [tensor.to(device) for tensor in _tensors(inputs)]
        with torch.autocast(device, torch.bfloat16, enabled=is_bfloat16):
            return self._module(*tensors).float()


def openvino_model(module: torch.nn.Module, example: Row, is_fixed: bool) -> Any:
    """Convert a module; `example` is a row, and if it `is_fixed` every row has its shapes."""
    from stages.encoders.backends.openvino import ov

    tensors = _tensors(example)
    module(*tensors)  # what is wrong with the network is said here, in plainer words
    shapes = {"input": [tuple(array.shape) for array in example]} if is_fixed else {}
    return ov.convert_model(module, example_input=tuple(tensors), **shapes)


def _tensors(row: Row) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in row]
