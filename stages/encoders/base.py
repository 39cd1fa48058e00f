"""The kinds of encoder, one module each, named as the kind.

Each module has two functions:

- `fetch(settings, folder, policy, seed) -> Manifest` puts the weights into `folder`;
- `load(settings, folder, engine) -> ImageEncoder | TextEncoder` makes an encoder of them that
  `engine` runs; or, where there is no network, `count(settings, texts)` gives sparse vectors.
"""

import io
from collections.abc import Iterable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Protocol

import numpy as np
import PIL.Image
from PIL.Image import Image


class ImageEncoder(Protocol):
    """Turns pictures into vectors."""

    size: int

    def encode(self, pictures: Iterable[Image]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each RGB picture, in their order."""


class TextEncoder(Protocol):
    """Turns texts into vectors."""

    size: int

    def encode(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each text, in their order."""


def decoded(jpeg: bytes) -> Image:
    """Return the RGB picture of a JPEG."""
    return PIL.Image.open(io.BytesIO(jpeg)).convert("RGB")


def module_of(kind: str) -> ModuleType:
    """Return the module of a kind of encoder; only this imports the framework that it needs."""
    return import_module(f"stages.encoders.{kind}")
