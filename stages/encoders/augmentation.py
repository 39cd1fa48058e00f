"""Several views of a picture, whose vectors' mean says more of it than that of one."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import PIL.Image
import PIL.ImageOps
from PIL.Image import Image

from stages.encoders.base import ImageEncoder

SHRUNK = 0.6  # of the picture's width and height, on white as shops have it


def view_of(picture: Image, view: str) -> Image:
    """Return an RGB picture whole, mirrored, or shrunk on white, in its own size."""
    if view == "hflip":
        return PIL.ImageOps.mirror(picture)
    if view == "zoom_out":
        small = picture.resize([round(SHRUNK * side) for side in picture.size])
        around = PIL.Image.new("RGB", picture.size, "white")
        corner = [(side - inner) // 2 for side, inner in zip(picture.size, small.size, strict=True)]
        around.paste(small, corner)
        return around
    return picture


class Views:
    """An encoder that gives the mean of the vectors that another gives of each view."""

    def __init__(self, encoder: ImageEncoder, views: Sequence[str]) -> None:
        self.size = encoder.size
        self._encoder = encoder
        self._views = views

    def encode(self, pictures: Iterable[Image]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each RGB picture, in their order."""
        vectors = self._encoder.encode(
            view_of(picture, view) for picture in pictures for view in self._views
        )
        while of_one := list(islice(vectors, len(self._views))):
            yield np.mean(of_one, axis=0, dtype=np.float32)
