"""The image tower of CLIP or SigLIP: vectors of unit length, in one space with those of texts."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.common.clip_network import PROCESSOR_FILES, check_model, load_image_tower
from stages.common.settings import Sha256
from stages.encoders import huggingface_image
from stages.encoders.backends.base import Backend
from stages.encoders.huggingface_image import HuggingFaceImageEncoder
from stages.encoders.settings import ImageEncoderSettings
from stages.encoders.weights import huggingface as weights
from stages.encoders.weights.manifest import Manifest


class Settings(ImageEncoderSettings):
    """The image tower of a CLIP or SigLIP of the hub."""

    frameworks = ("torch",)

    kind: Literal["clip_image"]
    model: str
    revision: str = "main"
    path: Path | None = Field(default=None, strict=False)
    package: str | None = None
    sha256: Sha256 | None = None


def fetch(settings: Settings, folder: Path) -> Manifest:
    """Put the weights of both towers, configuration and image processor into `folder`.

    Raises InputError where the model is another, or comes without a processor.
    """
    manifest = weights.fetch(settings, folder, "choose another image encoder")
    check_model(folder, settings.model, *PROCESSOR_FILES)
    return manifest


def load(settings: Settings, folder: Path, backend: Backend) -> HuggingFaceImageEncoder:
    """Make an encoder of what `fetch` put into `folder`."""
    return huggingface_image.load(settings, folder, backend, load_image_tower)


def convert(settings: Settings, folder: Path) -> tuple[Any, Path]:
    """Return OpenVINO's network of the tower in `folder`, and the folder that keeps it."""
    return huggingface_image.convert(settings, folder, load_image_tower)
