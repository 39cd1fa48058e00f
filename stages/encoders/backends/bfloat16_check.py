"""Whether an encoder's vectors stay what they are in bfloat16, tried on a few fixed inputs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import PIL.Image
import PIL.ImageDraw

from stages.common.images import DEFAULT_SIZE, Pixels, resize
from stages.encoders.backends.base import Backend
from stages.encoders.base import Encoder

MIN_COSINE = 0.99995  # so that inputs that are harder than these keep to 0.9999
TEXTS = (
    "HDMI cable",
    'Samsung - 55" Class (54.6" Diag.) - LED - 2160p - Smart - 4K Ultra HD TV - Black',
    "Compatible with most USB devices; 6' length; gold-plated connectors. " * 8,
    "A compact washing machine for small households, with a quick programme of 15 minutes.",
    "64GB",
    "Wireless noise-cancelling headphones: 30 hours of battery, folds flat, with a case",
    "Crème brûlée set, 6 pièces",
    "Only at this shop. AppleCare+ sold separately. Colour: Space Gray! Model A1708 (2017)?",
)


def passes_bfloat16_check(
    load: Callable[[Backend], Encoder], backend: Backend, modality: str
) -> bool:
    """Return whether each input's vector by `backend` has a cosine of almost 1 to float32's.

    What rounding does depends on the weights: a network whose channels differ much in scale, such
    as a trained MobileNetV2, goes astray where another does not.
    """
    inputs = TEXTS if modality == "text" else _images()
    rounded, exact = (
        np.asarray(load(tried).encode(inputs), dtype=np.float64)
        for tried in (backend, replace(backend, precision="float32"))
    )
    norms = np.linalg.norm(rounded, axis=1) * np.linalg.norm(exact, axis=1)
    return bool(((rounded * exact).sum(axis=1) >= MIN_COSINE * norms).all())


def _images() -> list[Pixels]:
    """Draw images as shops have them: a thing of a few shapes and colours on white, and noise."""
    rng = np.random.default_rng(0)
    size = (DEFAULT_SIZE, DEFAULT_SIZE)
    images = []
    for _ in range(6):
        image = PIL.Image.new("RGB", size, "white")
        draw = PIL.ImageDraw.Draw(image)
        for shape in (draw.rectangle, draw.ellipse, draw.rectangle, draw.ellipse, draw.line):
            left, top = rng.integers(10, 120, 2).tolist()
            width, height = rng.integers(20, 100, 2).tolist()
            shape((left, top, left + width, top + height), fill=tuple(rng.integers(0, 256, 3)))
        images.append(np.array(image))
    for side in (7, DEFAULT_SIZE):
        noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        images.append(resize(noise, *size))
    return images
