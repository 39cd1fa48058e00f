"""OpenVINO's networks of modules of PyTorch."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.common.errors import InputError
from stages.common.openvino import import_openvino

TOLERANCE = 0.01  # of the largest number of a vector; what is computed rightly is far nearer
REMEDY = "choose another encoder, or set `backend: torch`"


def openvino_model(
    module: Any, example: Sequence[np.ndarray], other: Sequence[np.ndarray] | None = None
) -> Any:
    """Convert a module; `example` is what it takes, in these shapes always.

    With `other`, which is the like in other lengths, all lengths may be others. Raises InputError
    where OpenVINO cannot convert the module, or makes something else of `other` than PyTorch.
    """
    import torch

    tensors = [torch.tensor(array) for array in example]
    module(*tensors)  # what is wrong with the network is said here, in plainer words
    shapes = {"input": [tuple(array.shape) for array in example]} if other is None else {}
    ov = import_openvino()
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    try:
        # PyTorch would run the network three times more to check what it recorded of it.
        decoder = TorchScriptPythonDecoder(
            module, example_input=tuple(tensors), trace_kwargs={"check_trace": False}
        )
        model = ov.convert_model(decoder, example_input=tuple(tensors), **shapes)
    except Exception as error:  # of OpenVINO, or of what records the network, about any part of it
        raise InputError(
            f"OpenVINO cannot run this network ({type(error).__name__}): {REMEDY}"
        ) from None
    if other is not None and not _agrees(model, module, other):
        raise InputError(
            "OpenVINO makes other vectors than PyTorch of this network, as its record is of one "
            f"length of texts alone: {REMEDY}"
        )
    return model


def _agrees(model: Any, module: Any, given: Sequence[np.ndarray]) -> bool:
    """Return whether a converted module does of some inputs what the module does."""
    import torch

    hints = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = import_openvino().Core().compile_model(model, "CPU", hints)
    with torch.no_grad():
        wanted = module(*(torch.tensor(array) for array in given)).numpy()
    try:
        found = compiled(list(given))[0]
    except RuntimeError:  # it takes no other length
        return False
    return found.shape == wanted.shape and bool(
        np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()
    )


def exported_model(module: Any, example: np.ndarray) -> Any:
    """Convert a module of one array, always of this shape, by PyTorch's export.

    It knows operations that `openvino_model` does not, such as Keras', and takes longer.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch's, of its own code
        exported = torch.export.export(module, (torch.tensor(example),))
        return import_openvino().convert_model(exported, input=[tuple(example.shape)])
