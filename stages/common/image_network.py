"""Image networks of Transformers: from pixels to one vector of each image."""

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
    """Load the image processor in `folder`."""
    from transformers import AutoImageProcessor

    return huggingface.from_folder(AutoImageProcessor, folder, backend="pil")
