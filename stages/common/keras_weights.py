"""Keras, and a network's variables in a safetensors file.

A network's file has the same bytes each time and holds no code.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from stages.common.errors import InputError
from stages.common.files import atomic_file
from stages.common.openvino import import_openvino

Framework = Literal["tensorflow", "torch"]


def import_keras(framework: Framework | None = None) -> ModuleType:
    """Return the module `keras`: on the framework it is on, or else on `framework` or TensorFlow.

    TensorFlow's messages are kept away. The environment is read when Keras and TensorFlow are first
    imported in a process; raises RuntimeError where Keras is on another framework than is wanted.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = framework or "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow warns that oneDNN adds numbers up in other orders, and so rounds differently.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    with suppress(ImportError):
        # Of PyTorch's builds for a GPU: after TensorFlow, its import takes the process down.
        import_module("triton")
    import keras

    found = keras.backend.backend()
    if framework not in (None, found):
        raise RuntimeError(f"Keras is on {found} in this process, and was wanted on {framework}")
    if found == "tensorflow":
        _tell_openvino_the_version()
    return keras


def _tell_openvino_the_version() -> None:
    """Let OpenVINO convert any network where TensorFlow is imported.

    It finds TensorFlow's version out by a `del` in an `exec`, which is a NameError on Python 3.13.
    """
    import_openvino()
    import tensorflow
    from openvino.frontend.tensorflow import utils

    utils.get_environment_setup = lambda _: {"tensorflow": tensorflow.__version__}


def variables_of(network: Any) -> dict[str, np.ndarray]:
    """Return a network's variables by their paths within it."""
    return {_key(network, variable): np.asarray(variable.numpy()) for variable in network.weights}


def save_variables(variables: Mapping[str, np.ndarray], path: Path) -> None:
    """Write a network's variables."""
    with atomic_file(path) as part:
        part.write_bytes(save(dict(variables)))  # save_file has its own error for a full disk


def load_variables(
    path: Path, wanted: Mapping[str, tuple[tuple[int, ...], np.dtype]]
) -> dict[str, np.ndarray]:
    """Return what `save_variables` wrote; `wanted` has each variable's shape and type.

    Raises InputError where it is no such file, or naming the first variable that it lacks or has in
    another shape or type.
    """
    try:
        values = load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} is not there: `dvc repro` builds it") from None
    except (SafetensorError, AttributeError) as error:  # or a type that NumPy has not
        raise InputError(
            f"{path} is no safetensors file ({error}): `dvc repro -f` rebuilds"
        ) from None
    for key, (shape, kind) in wanted.items():
        if key not in values or (values[key].shape, values[key].dtype) != (shape, kind):
            raise InputError(
                f"{path} holds no {key} of shape {shape} in {kind}: `dvc repro -f` rebuilds"
            )
    return values


def restore_variables(network: Any, path: Path) -> None:
    """Put variables that were saved into a network of the same build; see `load_variables`."""
    variables = {_key(network, variable): variable for variable in network.weights}
    wanted = {
        key: (tuple(variable.shape), _saved_type(np.dtype(variable.dtype)))
        for key, variable in variables.items()
    }
    values = load_variables(path, wanted)
    for key, variable in variables.items():
        variable.assign(values[key])


def _saved_type(kind: np.dtype) -> np.dtype:
    """Return a variable's type on TensorFlow, which saves it: integers on PyTorch are shorter."""
    return np.dtype(np.int64) if kind.kind == "i" else kind


def _key(network: Any, variable: Any) -> str:
    """Return a variable's name within its network, whatever the network itself is called."""
    return variable.path.removeprefix(f"{network.name}/")
