"""Test-time augmentation: the mean vector of several views of an image."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from stages.common.images import Pixels, resize
from stages.encoders.base import Encoder, stream

ZOOM = 0.6  # of the image's width and height, on the white that shops use


def view_of(image: Pixels, view: str) -> Pixels:
    """Return a view of an RGB image in its own size: identity, hflip or zoom_out."""
    if view == "hflip":
        return np.ascontiguousarray(image[:, ::-1])
    if view == "zoom_out":
        height, width = (round(ZOOM * side) for side in image.shape[:2])
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        canvas = np.full_like(image, 255)
        canvas[top : top + height, left : left + width] = resize(image, width, height)
        return canvas
    return image


class AugmentedEncoder:
    """An encoder that returns the mean of another encoder's vectors of each view."""

    def __init__(self, encoder: Encoder, views: Sequence[str]) -> None:
        self.n_features = encoder.n_features
        self._encoder = encoder
        self._views = views

    def encode(self, batch: Sequence[Pixels]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each RGB image, in their order."""
        views = [view_of(image, view) for image in batch for view in self._views]
        vectors = self._encoder.encode(views)
        return self._means(vectors)

    def stream(
        self, inputs: Iterable[Any], opened: Callable[[Any], Pixels]
    ) -> Iterator[np.ndarray]:
        """Yield float32 (k, n_features): vectors of the inputs, in their order, as they are done.

        `opened` makes an RGB image of an input, anew for each view: threads prepare views apart.
        """
        pairs = ((one, view) for one in inputs for view in self._views)
        left = np.zeros((0, self.n_features), dtype=np.float32)
        parts = stream(self._encoder, pairs, lambda pair: view_of(opened(pair[0]), pair[1]))
        with closing(parts):
            for part in parts:
                left = np.concatenate([left, part])
                whole = len(left) - len(left) % len(self._views)
                yield self._means(left[:whole])
                left = left[whole:]

    def _means(self, vectors: np.ndarray) -> np.ndarray:
        by_image = vectors.reshape(-1, len(self._views), self.n_features)
        return by_image.mean(axis=1, dtype=np.float32)
