"""Image networks of the Hugging Face hub, through Transformers, with their own image processor."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from stages.common.image_network import load_image_module, load_processor
from stages.common.image_steps import pixel_values, read_steps, steps_of, taking_bytes
from stages.common.images import DEFAULT_SIZE, Pixels
from stages.common.openvino_conversion import openvino_model
from stages.common.settings import Sha256
from stages.encoders.backends.base import Backend, Network, Row
from stages.encoders.backends.batching import GPU_IMAGES
from stages.encoders.backends.openvino import OpenVinoNetwork, network_of
from stages.encoders.backends.torch import TorchNetwork
from stages.encoders.backends.torch import taking_bytes as torch_taking_bytes
from stages.encoders.fingerprint import network_key
from stages.encoders.network_encoder import NetworkEncoder
from stages.encoders.settings import EncoderSettings, ImageEncoderSettings
from stages.encoders.torch_steps import TorchSteps
from stages.encoders.weights import huggingface as weights
from stages.encoders.weights.manifest import Manifest

Loader = Callable[[Path], Any]  # makes a module of the network in a folder


class Settings(ImageEncoderSettings):
    """An image network that Transformers' AutoModel loads.

    `architecture` says what random weights are drawn for where the hub does not answer.
    """

    frameworks = ("torch",)
    usage = ImageEncoderSettings.usage | {"architecture"}

    kind: Literal["huggingface_image"]
    model: str
    revision: str = "main"
    architecture: str | None = None
    path: Path | None = Field(default=None, strict=False)
    package: str | None = None
    sha256: Sha256 | None = None


def fetch(settings: Settings, folder: Path) -> Manifest:
    """Put weights, configuration and image processor into `folder`."""
    return weights.fetch(settings, folder, "set `weights: auto` and the encoder's `architecture`")


def draw(settings: Settings, folder: Path, seed: int) -> Manifest | None:
    """Put random weights and a plain processor into `folder`; None without an `architecture`."""
    if settings.architecture is None:
        return None
    return weights.draw_image_network(settings.architecture, folder, seed)


def load(
    settings: EncoderSettings,
    folder: Path,
    backend: Backend,
    load_module: Loader = load_image_module,
) -> "HuggingFaceImageEncoder":
    """Make an encoder of what `fetch` put into `folder`: the module that is loaded, its processor.

    Raises InputError where that lacks something or is no network with a pooled output.
    """
    if backend.name == "torch":
        size = 1 if backend.device == "cpu" else GPU_IMAGES
        return torch_encoder(folder, backend, size, load_module)
    model, place = convert(settings, folder, load_module)
    network = OpenVinoNetwork(model, backend)
    # With steps in place of the processor, neither PyTorch nor Transformers is loaded.
    steps = read_steps(place)
    prepare = partial(_pixels, load_processor(place)) if steps is None else steps.pixels
    return HuggingFaceImageEncoder(network, prepare)


def torch_encoder(
    folder: Path, backend: Backend, size: int, load_module: Loader = load_image_module
) -> "HuggingFaceImageEncoder":
    """Make an encoder that PyTorch runs, `size` images in a batch where memory holds so many.

    Where steps describe the image processor, the network takes bytes and the device does the rest.
    """
    module, processor = load_module(folder), load_processor(folder)
    prepare: Callable[[Pixels], Row] = partial(_pixels, processor)
    if (found := steps_of(processor)) is not None:
        steps, table = found
        module, prepare = torch_taking_bytes(module, table), TorchSteps(steps).pixels
    example = prepare(_black())
    network = TorchNetwork(module, example, backend, lambda row: size)
    return HuggingFaceImageEncoder(network, prepare)


def convert(
    settings: EncoderSettings, folder: Path, load_module: Loader = load_image_module
) -> tuple[Any, Path]:
    """Return OpenVINO's network of what `fetch` put into `folder`, and the folder that keeps it.

    That folder also has what prepares images: the steps of the processor, or its configuration
    where it does something else.
    """

    def build(place: Path) -> Any:
        processor = load_processor(folder)
        model = openvino_model(load_module(folder), _pixels(processor, _black()))
        found = steps_of(processor)
        if found is None:
            for file in sorted(folder.glob("*config.json")):
                shutil.copyfile(file, place / file.name)
            return model
        steps, table = found
        steps.save(place)
        return taking_bytes(model, table)

    return network_of(folder, lambda: network_key(settings, folder), build)


class HuggingFaceImageEncoder(NetworkEncoder):
    """A network that turns images into its pooled output."""

    def __init__(self, network: Network, prepare: Callable[[Pixels], Row]) -> None:
        super().__init__(network)
        self._prepare = prepare

    def prepare(self, one: Pixels) -> Row:
        """Return what the network takes of an RGB image: its processor's work, or a part of it."""
        return self._prepare(one)


def _pixels(processor: Any, image: Pixels) -> Row:
    """Return what the network takes of an image, float32 of shape (1, 3, height, width)."""
    return (pixel_values(processor, image),)


def _black() -> Pixels:
    return np.zeros((DEFAULT_SIZE, DEFAULT_SIZE, 3), dtype=np.uint8)
