"""Whether an encoder bears bfloat16: tried on inputs that are the same everywhere."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import PIL.Image
import PIL.ImageDraw
from PIL.Image import Image

from stages.encoders.backends.selection import Backend
from stages.encoders.base import ImageEncoder, TextEncoder

LEAST_COSINE = 0.99995  # so that inputs that are harder than these keep to 0.9999
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
    load: Callable[[Backend], ImageEncoder | TextEncoder], engine: Backend, is_text: bool
) -> bool:
    """Say whether each trial's vector by `engine` has a cosine of almost 1 to float32's.

    What rounding does depends on the weights: a network whose channels differ much in scale, such
    as a trained MobileNetV2, goes astray where another does not.
    """
    trials = TEXTS if is_text else _pictures()
    rows, exact = (
        np.stack(list(load(tried).encode(trials))).astype(np.float64)
        for tried in (engine, replace(engine, precision="float32"))
    )
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(exact, axis=1)
    return bool(((rows * exact).sum(axis=1) >= LEAST_COSINE * norms).all())


def _pictures() -> list[Image]:
    """Draw pictures as shops have them: a thing of a few shapes and colours on white, and noise."""
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(6):
        picture = PIL.Image.new("RGB", (224, 224), "white")
        draw = PIL.ImageDraw.Draw(picture)
        for shape in (draw.rectangle, draw.ellipse, draw.rectangle, draw.ellipse, draw.line):
            left, top = random.integers(10, 120, 2).tolist()
            width, height = random.integers(20, 100, 2).tolist()
            shape((left, top, left + width, top + height), fill=tuple(random.integers(0, 256, 3)))
        drawn.append(picture)
    for side in (7, 224):
        noise = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        drawn.append(PIL.Image.fromarray(noise).resize((224, 224)))
    return drawn
