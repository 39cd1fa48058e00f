"""Image networks of the Hugging Face hub, through Transformers, with their own image processor."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
from PIL.Image import Image
from pydantic import Field

from stages.common.settings import Sha256
from stages.encoders import huggingface
from stages.encoders.backends.base import Backend, Network, Row
from stages.encoders.backends.openvino import OpenVinoNetwork, converted
from stages.encoders.backends.torch import TorchNetwork, openvino_model
from stages.encoders.fingerprint import network_key
from stages.encoders.images import DEFAULT_SIZE, resize
from stages.encoders.settings import ImageEncoderSettings
from stages.encoders.weights import huggingface as weights
from stages.encoders.weights.manifest import Manifest


class Settings(ImageEncoderSettings):
    """An image network that Transformers' AutoModel loads.

    `architecture` says what random weights are drawn for where the hub does not answer.
    """

    framework = "torch"
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


def load(settings: Settings, folder: Path, backend: Backend) -> "HuggingFaceImageEncoder":
    """Make an encoder of what `fetch` put into `folder`.

    Raises InputError where that lacks something or is no network with a pooled output.
    """
    from transformers import AutoImageProcessor

    processor = huggingface.from_folder(AutoImageProcessor, folder, backend="pil")
    example = _pixels(processor, PIL.Image.new("RGB", (DEFAULT_SIZE, DEFAULT_SIZE)))
    if backend.name == "torch":
        network: Network = TorchNetwork(_module(folder), example, backend)
        return HuggingFaceImageEncoder(network, processor)

    def convert(_: Path) -> Any:
        return openvino_model(_module(folder), example, is_fixed=True)

    model, _ = converted(network_key(settings, folder), convert)
    return HuggingFaceImageEncoder(OpenVinoNetwork(model, backend), processor)


class HuggingFaceImageEncoder:
    """A network that turns images into its pooled output."""

    def __init__(self, network: Network, processor: Any) -> None:
        self.network = network
        self.n_features = network.n_features
        self._processor = processor

    def encode(self, batch: Sequence[Image]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each RGB image, in their order."""
        return self.network.run(_pixels(self._processor, image) for image in batch)


def _pixels(processor: Any, image: Image) -> Row:
    """Return what the network takes of an image, float32 of shape (1, 3, height, width)."""
    if not getattr(processor, "do_resize", True):
        image = resize(image, DEFAULT_SIZE, DEFAULT_SIZE)
    return (np.asarray(processor(image, return_tensors="np")["pixel_values"]),)


def _module(folder: Path) -> Any:
    """Return the network in `folder` as a module that gives its pooled output."""
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = huggingface.load_network(folder, uses_pooler=True)

        def forward(self, pixel_values: Any) -> Any:
            return huggingface.pooled_output(self.network(pixel_values=pixel_values))

    return Pooled()
