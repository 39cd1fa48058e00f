"""Networks of Keras Applications: no top, average-pooled, each with its own preprocessing."""

import inspect
import warnings
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL.Image import Image
from pydantic import Field

from stages.common.errors import InputError
from stages.common.files import sha256_of, write_text
from stages.common.keras_weights import restore_variables, save_variables
from stages.common.settings import Sha256
from stages.encoders.backends.batching import GPU_BATCH, in_batches
from stages.encoders.backends.selection import Backend
from stages.encoders.fingerprint import network_key
from stages.encoders.settings import ImageEncoderSettings
from stages.encoders.weights.manifest import Manifest, check_sha256, unavailable, warn_random

LAYERS_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"
SHAPE = (224, 224, 3)


class Settings(ImageEncoderSettings):
    """A network of Keras Applications, by the name of its function."""

    framework = "tensorflow"

    kind: Literal["keras"]
    model: Annotated[str, Field(pattern=r"^[A-Z]\w+$")]
    path: Path | None = Field(default=None, strict=False)
    sha256: Sha256 | None = None


def fetch(settings: Settings, folder: Path, policy: str, seed: int) -> Manifest:
    """Put the network into `folder`, with weights from a path, from Keras' store or of `seed`.

    The manifest's sha256 is that of the file at the path, else that of the file in `folder`.
    Raises InputError where the store does not answer and `policy` is "pretrained", or where the
    weights are not what params.yaml asks for.
    """
    import keras

    build, weights = _builder(settings.model), folder / WEIGHTS_FILE
    if settings.path is not None:
        if not settings.path.is_file():
            raise InputError(f"the weights {settings.path} of {settings.model} are not there")
        found = sha256_of(settings.path)
        check_sha256(found, settings.sha256, str(settings.path))
        _save(_from_path(build, settings.path), folder)
        return Manifest("pretrained", str(settings.path), None, found)
    try:
        network = _from_store(build)
    except ConnectionError as error:
        if policy == "pretrained":
            raise unavailable(settings.model, str(error), "set `weights: auto`") from None
        warn_random(settings.model, str(error))
        keras.utils.set_random_seed(seed)
        _save(_network(build, None), folder)
        return Manifest("random", f"seed {seed}", None, sha256_of(weights))
    _save(network, folder)
    found, origin = sha256_of(weights), f"keras.applications.{settings.model}, imagenet"
    check_sha256(found, settings.sha256, origin)
    return Manifest("pretrained", origin, None, found)


def load(settings: Settings, folder: Path, engine: Backend) -> "KerasImages":
    """Make an encoder of what `fetch` put into `folder`."""
    if engine.name == "tensorflow":
        return KerasImages(TensorflowNetwork(settings, folder, engine))
    from stages.encoders.backends.openvino import OpenVinoNetwork, converted, ov

    def convert(_: Path) -> ov.Model:
        return ov.convert_model(_function(settings, folder, 1))

    model, _ = converted(network_key(settings, folder), convert)
    return KerasImages(OpenVinoNetwork(model, engine))


class TensorflowNetwork:
    """A network as TensorFlow runs it: on a GPU, or as the reference on a processor."""

    def __init__(self, settings: Settings, folder: Path, engine: Backend) -> None:
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(False)
        self._batch = 1 if engine.device == "cpu" else GPU_BATCH
        self._function = _function(settings, folder, self._batch)
        self.size: int = self._function.get_concrete_function().output_shapes[1]

    def run(self, rows: Iterable[tuple[np.ndarray, ...]]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each uint8 picture, in their order."""
        return in_batches(self._function, rows, self._batch)


class KerasImages:
    """A network of Keras Applications that turns pictures into vectors."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.size: int = network.size

    def encode(self, pictures: Iterable[Image]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each 224×224 RGB picture, in their order."""
        return self._network.run((np.asarray(picture)[None],) for picture in pictures)


def _builder(model: str) -> Any:
    """Return the function of keras.applications that builds a network."""
    import keras.applications as applications

    known = sorted(name for name in vars(applications) if name[0].isupper())
    if model not in known:
        raise InputError(f"keras.applications has no {model}; it has {', '.join(known)}")
    return getattr(applications, model)


def _function(settings: Settings, folder: Path, batch: int) -> Any:
    """Return the network in `folder` as a function of `batch` uint8 pictures."""
    import tensorflow as tf

    preprocess = inspect.getmodule(_builder(settings.model)).preprocess_input
    network = _kept_network(folder / LAYERS_FILE)
    restore_variables(network, folder / WEIGHTS_FILE)

    def embed(pictures: Any) -> Any:
        # Each family has its own preprocessing, of numbers from 0 to 255: ResNet50's swaps red
        # and blue and subtracts ImageNet's means, and does not divide by 255.
        return network(preprocess(tf.cast(pictures, tf.float32)), training=False)

    return tf.function(embed, input_signature=[tf.TensorSpec((batch, *SHAPE), tf.uint8)])


def _network(build: Any, weights: str | None) -> Any:
    """Build a network: average-pooled, without its top; `weights` as Keras takes them."""
    import keras

    keras.backend.clear_session()  # or names would go on counting from the last network
    return build(weights=weights, include_top=False, pooling="avg", input_shape=SHAPE)


def _kept_network(path: Path) -> Any:
    """Build the network whose layers `_save` wrote; raises InputError where they are not such."""
    layers = path.read_bytes()
    try:
        network = _of_layers(layers.decode("utf-8"))
        shapes = network.input_shape, network.output_shape
    except Exception as error:  # whatever Keras stumbles over in a file that is not its own
        raise InputError(
            f"{path} holds no layers that Keras can build ({type(error).__name__}: "
            f"{_line(error)}): `dvc repro -f` fetches the network anew"
        ) from None
    if shapes[0] != (None, *SHAPE) or len(shapes[1]) != 2:
        raise InputError(
            f"{path} holds a network from {shapes[0]} to {shapes[1]}, not of pictures: "
            "`dvc repro -f` fetches the right one"
        )
    return network


def _of_layers(layers: str) -> Any:
    """Build a network from what its `to_json` gave."""
    import keras

    keras.backend.clear_session()
    return keras.models.model_from_json(layers)


def _save(network: Any, folder: Path) -> None:
    """Write a network's layers and variables.

    The layers too, because they depend on the weights: for those of ImageNet, Keras gives
    EfficientNet a layer more. The variables' names are those of the network that `load` builds.
    """
    layers, values = network.to_json(), network.get_weights()
    write_text(folder / LAYERS_FILE, layers)
    again = _of_layers(layers)
    again.set_weights(values)
    save_variables(again, folder / WEIGHTS_FILE)


def _from_path(build: Any, path: Path) -> Any:
    """Build a network with weights that Keras saved; raises InputError if they do not fit it."""
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that the file has nothing for.
            warnings.filterwarnings("error", category=UserWarning, module=r"keras\.src\.saving")
            return _network(build, str(path))
    except (OSError, ValueError, UserWarning) as error:
        raise InputError(
            f"{path} holds no weights of {build.__name__} without its top: {_line(error)}"
        ) from None


def _from_store(build: Any) -> Any:
    """Build a network with Keras' weights for ImageNet, downloaded or kept from an earlier time.

    Raises ConnectionError where Keras' store does not answer, and InputError where it answers with
    something else.
    """
    try:
        return _network(build, "imagenet")
    except ValueError as error:
        raise InputError(
            f"what came as Keras' weights of {build.__name__} is not what it published, try again: "
            f"{_line(error)}"
        ) from None
    except Exception as error:
        # Keras' get_file makes urllib's errors bare Exceptions, and hands on what breaks off an
        # answer.
        if type(error) is not Exception and not isinstance(error, ConnectionError | HTTPException):
            raise
        raise ConnectionError(_line(error)) from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
