"""Networks of Keras Applications: no top, average-pooled, each with its own preprocessing.

On a GPU they run on PyTorch, by Keras, so that one framework has to be set up there.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from stages.common.images import DEFAULT_SIZE, Pixels, resize
from stages.common.keras_network import KerasNetwork, load_network, preprocessing, torch_module
from stages.common.openvino import import_openvino
from stages.common.settings import Sha256
from stages.encoders.backends.base import Backend, Network, Row
from stages.encoders.backends.batching import GPU_IMAGES
from stages.encoders.backends.openvino import OpenVinoNetwork, network_of
from stages.encoders.backends.tensorflow import TensorflowNetwork, import_tensorflow
from stages.encoders.backends.torch import TorchNetwork
from stages.encoders.fingerprint import network_key
from stages.encoders.network_encoder import NetworkEncoder
from stages.encoders.settings import ImageEncoderSettings
from stages.encoders.weights import keras as weights
from stages.encoders.weights.manifest import Manifest


class Settings(ImageEncoderSettings):
    """A network of Keras Applications, by the name of its function.

    `input_size` is the side in pixels of the images that it takes.
    """

    frameworks = ("torch", "tensorflow")

    kind: Literal["keras"]
    model: Annotated[str, Field(pattern=r"^[A-Z]\w+$")]
    input_size: Annotated[int, Field(ge=32, le=1024)] = DEFAULT_SIZE
    path: Path | None = Field(default=None, strict=False)
    sha256: Sha256 | None = None


def fetch(settings: Settings, folder: Path) -> Manifest:
    """Put the network into `folder`, with weights from a path or from Keras' store."""
    model, size, sha256 = settings.model, settings.input_size, settings.sha256
    if settings.path is not None:
        return weights.fetch_file(model, size, settings.path, sha256, folder)
    return weights.fetch_published(model, size, sha256, folder)


def draw(settings: Settings, folder: Path, seed: int) -> Manifest:
    """Put the network into `folder`, with random weights."""
    return weights.draw(settings.model, settings.input_size, folder, seed)


def load(settings: Settings, folder: Path, backend: Backend) -> "KerasEncoder":
    """Make an encoder of what `fetch` put into `folder`.

    Raises InputError where that is no network of images, or lacks weights.
    """
    if backend.name == "torch":
        size = 1 if backend.device == "cpu" else GPU_IMAGES
        return torch_encoder(settings, folder, backend, size)
    network: Network
    if backend.name == "tensorflow":
        network = TensorflowNetwork(_function(settings, folder))
    else:
        network = OpenVinoNetwork(convert(settings, folder)[0], backend)
    return KerasEncoder(network, settings.input_size)


def torch_encoder(settings: Settings, folder: Path, backend: Backend, size: int) -> "KerasEncoder":
    """Make an encoder of the network in a folder, run by PyTorch in batches of `size` images."""
    side = settings.input_size
    example = (np.zeros((1, side, side, 3), dtype=np.uint8),)
    module = torch_module(_described(settings, folder))
    return KerasEncoder(TorchNetwork(module, example, backend, lambda row: size), side)


def convert(settings: Settings, folder: Path) -> tuple[Any, Path]:
    """Return OpenVINO's network of what `fetch` put into `folder`, and the folder that keeps it."""

    def build(_: Path) -> Any:
        return import_openvino().convert_model(_function(settings, folder))

    return network_of(folder, lambda: network_key(settings, folder), build)


class KerasEncoder(NetworkEncoder):
    """A network of Keras Applications that turns images into vectors."""

    def __init__(self, network: Network, input_size: int) -> None:
        super().__init__(network)
        self._size = input_size

    def prepare(self, one: Pixels) -> Row:
        """Return an RGB image in the network's size, uint8 of shape (1, height, width, 3)."""
        return (resize(one, self._size, self._size)[None],)


def _function(settings: Settings, folder: Path) -> Any:
    """Return the network in `folder` as TensorFlow's function of one uint8 image."""
    tf = import_tensorflow()
    network, preprocess = load_network(_described(settings, folder)), preprocessing(settings.model)

    def embed(images: Any) -> Any:
        return network(preprocess(tf.cast(images, tf.float32)), training=False)

    shape = (1, settings.input_size, settings.input_size, 3)
    return tf.function(embed, input_signature=[tf.TensorSpec(shape, tf.uint8)])


def _described(settings: Settings, folder: Path) -> KerasNetwork:
    return KerasNetwork(folder, settings.model, settings.input_size)
