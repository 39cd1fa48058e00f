"""Image networks of the Hugging Face hub, through Transformers, with their own image processor."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL.Image import Image
from pydantic import Field

from stages.common.errors import InputError
from stages.common.settings import Sha256
from stages.encoders import huggingface
from stages.encoders.backends.selection import Backend
from stages.encoders.fingerprint import network_key
from stages.encoders.settings import ImageEncoderSettings
from stages.encoders.weights.manifest import Manifest, digest, unavailable, warn_random

# What a picture goes through where the weights are random and no processor came with them: the
# way of most networks that were trained on ImageNet.
_PLAIN_PROCESSOR = {
    "crop_pct": 0.875,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "size": {"shortest_edge": 224},
}


class Settings(ImageEncoderSettings):
    """An image network that Transformers' AutoModel loads."""

    framework = "torch"

    kind: Literal["huggingface_image"]
    model: str
    revision: str = "main"
    architecture: str | None = None
    path: Path | None = Field(default=None, strict=False)
    package: str | None = None
    sha256: Sha256 | None = None


def fetch(settings: Settings, folder: Path, policy: str, seed: int) -> Manifest:
    """Put weights, configuration and image processor into `folder`.

    Where the hub is out of reach and `policy` is "auto", weights are drawn with `seed` for the
    encoder's `architecture`. Raises InputError where there are none to be had.
    """
    try:
        return huggingface.fetch(settings, folder)
    except huggingface.Unreachable as error:
        if policy == "pretrained" or settings.architecture is None:
            mend = "set `weights: auto` and the encoder's `architecture`"
            raise unavailable(settings.model, str(error), mend) from None
        warn_random(settings.model, str(error))
    import torch
    from transformers import AutoConfig, AutoModel, ConvNextImageProcessorPil

    huggingface.quiet()
    torch.manual_seed(seed)
    try:
        network = AutoModel.from_config(AutoConfig.for_model(settings.architecture))
    except ValueError:
        raise InputError(
            f"Transformers knows no architecture {settings.architecture!r}: name one of its "
            f"model types, such as convnextv2"
        ) from None
    network.save_pretrained(folder)
    ConvNextImageProcessorPil(**_PLAIN_PROCESSOR).save_pretrained(folder)
    return Manifest("random", f"seed {seed}", None, digest(folder, huggingface.WEIGHTS))


def load(settings: Settings, folder: Path, engine: Backend) -> "HuggingFaceImages":
    """Make an encoder of what `fetch` put into `folder`."""
    return HuggingFaceImages(settings, folder, engine)


class HuggingFaceImages:
    """A network that turns pictures into its pooled output."""

    def __init__(self, settings: Settings, folder: Path, engine: Backend) -> None:
        from transformers import AutoImageProcessor

        self._processor = huggingface.from_folder(AutoImageProcessor, folder, backend="pil")
        example = self._pixels(_blank())
        self._network = _network(settings, folder, engine, example)
        self.size: int = self._network.size

    def encode(self, pictures: Iterable[Image]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each RGB picture, in their order."""
        return self._network.run(self._pixels(picture) for picture in pictures)

    def _pixels(self, picture: Image) -> tuple[np.ndarray]:
        return (np.asarray(self._processor(picture, return_tensors="np")["pixel_values"]),)


def _network(settings: Settings, folder: Path, engine: Backend, example: tuple[np.ndarray]) -> Any:
    """Return the network in `folder` as `engine` runs it; `example` is an input."""
    if engine.name == "torch":
        from stages.encoders.backends.torch import TorchNetwork

        return TorchNetwork(_pooled(folder), example, engine)
    from stages.encoders.backends.openvino import OpenVinoNetwork, converted, ov

    def convert(_: Path) -> ov.Model:
        from stages.encoders.backends.torch import openvino_model

        return openvino_model(_pooled(folder), example, is_fixed=True)

    model, _ = converted(network_key(settings, folder), convert)
    return OpenVinoNetwork(model, engine)


def _pooled(folder: Path) -> Any:
    """Return the network in `folder` as a module that gives its pooled output."""
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = huggingface.network(folder, uses_pooler=True)

        def forward(self, pixel_values: Any) -> Any:
            return huggingface.pooled(self.network(pixel_values=pixel_values))

    return Pooled()


def _blank() -> Image:
    """Return a picture of the size that all of them have."""
    import PIL.Image

    return PIL.Image.new("RGB", (224, 224))
