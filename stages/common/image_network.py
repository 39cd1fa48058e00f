"""Image networks of Transformers: from pixels to one vector of each image."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.common import huggingface


@dataclass(frozen=True)
class ImageNetwork:
    """A network in a folder; `model` is its name in errors."""

    folder: Path
    model: str


def load_image_module(folder: Path) -> Any:
    """Return the network in `folder` as a module that gives its pooled output.

    It raises InputError where the network has none, or makes nothing of an image alone.
    """
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = huggingface.load_network(folder, uses_pooler=True)

        def forward(self, pixel_values: Any) -> Any:
            try:
                output = self.network(pixel_values=pixel_values)
            except (TypeError, ValueError, AttributeError) as error:  # it wants a text as well
                raise huggingface.unfit(
                    f"the network in {folder}", "an image alone", error
                ) from None
            return huggingface.pooled_output(output)

    return Pooled()


def load_processor(folder: Path) -> Any:
    """Load the image processor in `folder`.

    For DINOv3's, which would need torchvision, ViT's is taken: it has the same settings and steps,
    but rounds what it resizes to whole bytes.
    """
    from transformers import AutoImageProcessor, ViTImageProcessorPil

    if _processor_type(folder).startswith("DINOv3ViTImageProcessor"):
        return huggingface.from_folder(ViTImageProcessorPil, folder)
    return huggingface.from_folder(AutoImageProcessor, folder, backend="pil")


def _processor_type(folder: Path) -> str:
    """Return the class that the image processor in `folder` is of, if its file says so."""
    try:
        config = json.loads((folder / "preprocessor_config.json").read_bytes())
        return str(config["image_processor_type"])
    except (OSError, ValueError, TypeError, LookupError):
        return ""  # Transformers says what is wrong with the file
