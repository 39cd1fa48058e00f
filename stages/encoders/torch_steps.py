"""An image processor's steps, several times as fast: PyTorch resizes with vector instructions."""

import functools

import numpy as np
import PIL.Image
from PIL.Image import Image, Resampling

from stages.common.image_steps import ImageSteps
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

    def pixels(self, image: Image) -> Row:
        """Return what the network takes of an RGB image, uint8 of shape (1, height, width, 3)."""
        return self._resized(image) if self._is_exact(image.size) else self._steps.pixels(image)

    def _tried(self, size: tuple[int, int]) -> bool:
        if Resampling(self._steps.resample) not in MODES:
            return False
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (TRIALS, size[1], size[0], 3), dtype=np.uint8)
        return all(
            np.array_equal(self._resized(image)[0], self._steps.pixels(image)[0])
            for image in map(PIL.Image.fromarray, noise)
        )

    def _resized(self, image: Image) -> Row:
        import torch

        width, height = self._steps.resized(image.size)
        planes = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        found = torch.nn.functional.interpolate(
            planes, (height, width), mode=MODES[Resampling(self._steps.resample)], antialias=True
        )
        left, top, right, bottom = self._steps.crop(width, height)
        return (found.permute(0, 2, 3, 1)[:, top:bottom, left:right].numpy(),)
