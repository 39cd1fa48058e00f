"""Networks of Keras Applications: from Keras' store, a file of the user's, or drawn at random.

A network is kept as its layers and its variables. The layers too, because they depend on the
weights: with those of ImageNet, Keras gives EfficientNet one layer more.
"""

import warnings
from http.client import HTTPException
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from stages.common.errors import InputError
from stages.common.files import sha256_of, write_text
from stages.common.keras_network import (
    LAYERS_FILE,
    WEIGHTS_FILE,
    application,
    network_of_layers,
)
from stages.common.keras_weights import import_keras, save_variables, variables_of
from stages.encoders.weights.manifest import Manifest, check_sha256
from stages.encoders.weights.unreachable import Unreachable


def fetch_published(model: str, size: int, sha256: str | None, folder: Path) -> Manifest:
    """Put a network for images of `size` pixels a side into `folder`, with weights of ImageNet.

    Raises Unreachable where Keras' store does not answer, and InputError where it answers with
    something else or with weights of another `sha256` than asked for.
    """
    build = application(model)
    try:
        network = _build(build, "imagenet", size)
    except InputError:  # a ValueError itself
        raise
    except ValueError as error:
        raise InputError(
            f"what came as Keras' weights of {model} is not what it published, try again: "
            f"{_line(error)}"
        ) from None
    except Exception as error:
        # Keras' get_file makes urllib's errors bare Exceptions, and hands on what breaks off an
        # answer.
        if type(error) is not Exception and not isinstance(error, ConnectionError | HTTPException):
            raise
        raise Unreachable(model, _line(error), "set `weights: auto`") from None
    save_network(network, folder)
    found, origin = sha256_of(folder / WEIGHTS_FILE), f"keras.applications.{model}, imagenet"
    check_sha256(found, sha256, origin)
    return Manifest("pretrained", origin, None, found)


def fetch_file(model: str, size: int, path: Path, sha256: str | None, folder: Path) -> Manifest:
    """Put a network into `folder`, with the weights in a file that Keras saved.

    The manifest's sha256 is that of the file. Raises InputError where it is not there, does not fit
    the network or is not what was asked for.
    """
    build = application(model)
    if not path.is_file():
        raise InputError(f"the weights {path} of {model} are not there")
    found = sha256_of(path)
    check_sha256(found, sha256, str(path))
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that the file has nothing for.
            warnings.filterwarnings("error", category=UserWarning, module=r"keras\.src\.saving")
            network = _build(build, str(path), size)
    except InputError:
        raise
    except (OSError, LookupError, ValueError, UserWarning, BadZipFile) as error:
        raise InputError(
            f"{path} holds no weights of {model} without its top: {_line(error)}"
        ) from None
    save_network(network, folder)
    return Manifest("pretrained", str(path), None, found)


def draw(model: str, size: int, folder: Path, seed: int) -> Manifest:
    """Put a network of random weights into `folder`."""
    import_keras().utils.set_random_seed(seed)
    save_network(_build(application(model), None, size), folder)
    return Manifest("random", f"seed {seed}", None, sha256_of(folder / WEIGHTS_FILE))


def save_network(network: Any, folder: Path) -> None:
    """Write a network's layers, and its variables by the names that its layers give them."""
    layers, values = network.to_json(), network.get_weights()
    write_text(folder / LAYERS_FILE, layers)
    rebuilt = network_of_layers(layers)
    rebuilt.set_weights(values)
    save_variables(variables_of(rebuilt), folder / WEIGHTS_FILE)


def _build(build: Any, weights: str | None, size: int) -> Any:
    """Build a network: average-pooled, without its top; `weights` as Keras takes them.

    Raises InputError where the network does not take images of that size.
    """
    # Or names would go on counting from the last network.
    import_keras().backend.clear_session(free_memory=False)
    shape = (size, size, 3)
    try:
        return build(weights=weights, include_top=False, pooling="avg", input_shape=shape)
    except ValueError as error:
        if weights is None:
            raise InputError(
                f"{build.__name__} does not take an input_size of {size}: {_line(error)}"
            ) from None
        _build(build, None, size)  # where it fails as well, weights are not at fault
        raise


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
