"""An image processor's steps, several times as fast: PyTorch resizes with vector instructions."""

import functools

import numpy as np
from PIL.Image import Resampling

from stages.common.image_steps import ImageSteps
from stages.common.images import Pixels
from stages.encoders.backends.base import Row

MODES = {Resampling.BILINEAR: "bilinear", Resampling.BICUBIC: "bicubic"}
TRIALS = 3  # images of noise, of each size, on which it has to give Pillow's bytes


class TorchSteps:
    """Does `steps` by PyTorch for images of sizes for which it gives Pillow's bytes.

    It rounds a filter's weights to 16 bits. From 224 to 256 pixels, as ConvNeXt's and DINOv2's
    processors resize, they need no more; for most other sizes Pillow resizes as before.
    """

    def __init__(self, steps: ImageSteps) -> None:
        self._steps = steps
        self._is_exact = functools.cache(self._tried)

    def pixels(self, image: Pixels) -> Row:
        """Return what the network takes of an RGB image, uint8 of shape (1, height, width, 3)."""
        return self._resized(image) if self._is_exact(image.shape) else self._steps.pixels(image)

    def _tried(self, shape: tuple[int, ...]) -> bool:
        if Resampling(self._steps.resample) not in MODES:
            return False
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (TRIALS, *shape), dtype=np.uint8)
        return all(
            np.array_equal(self._resized(image)[0], self._steps.pixels(image)[0]) for image in noise
        )

    def _resized(self, image: Pixels) -> Row:
        import torch

        width, height = self._steps.resized((image.shape[1], image.shape[0]))
        planes = torch.from_numpy(image).permute(2, 0, 1)[None]
        found = torch.nn.functional.interpolate(
            planes, (height, width), mode=MODES[Resampling(self._steps.resample)], antialias=True
        )
        left, top, right, bottom = self._steps.crop(width, height)
        return (found.permute(0, 2, 3, 1)[:, top:bottom, left:right].numpy(),)
