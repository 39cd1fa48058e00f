"""OpenVINO's networks of modules of PyTorch."""

import warnings
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


def exported_model(module: Any, example: np.ndarray) -> Any:
    """Convert a module of one array, always of this shape, by PyTorch's export.

    It knows operations that `openvino_model` does not, such as Keras', and takes longer.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch's, of its own code
        exported = torch.export.export(module, (torch.tensor(example),))
        return import_openvino().convert_model(exported, input=[tuple(example.shape)])
