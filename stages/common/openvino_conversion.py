"""OpenVINO's networks of modules of PyTorch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.common.openvino import import_openvino


def openvino_model(module: Any, example: Sequence[np.ndarray], is_fixed: bool) -> Any:
    """Convert a module; `example` is what it takes, in these shapes always if they are `is_fixed`.

    Without that, all lengths but the number of axes may be others.
    """
    import torch

    tensors = [torch.tensor(array) for array in example]
    module(*tensors)  # what is wrong with the network is said here, in plainer words
    shapes = {"input": [tuple(array.shape) for array in example]} if is_fixed else {}
    ov = import_openvino()
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # PyTorch would run the network three times more to check what it recorded of it.
    decoder = TorchScriptPythonDecoder(
        module, example_input=tuple(tensors), trace_kwargs={"check_trace": False}
    )
    return ov.convert_model(decoder, example_input=tuple(tensors), **shapes)
