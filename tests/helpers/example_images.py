"""Images on which encoders are tried."""

import io

import numpy as np
import PIL.Image
import PIL.ImageDraw

from stages.common.images import Pixels
from stages.download.demo_images import draw


def example_images() -> list[Pixels]:
    """Return eight images that differ in colour, shape and texture, and three of the demo's."""
    rng = np.random.default_rng(7)
    noise = PIL.Image.fromarray(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8))
    slope = np.linspace(0, 255, 224).astype(np.uint8)
    across = PIL.Image.fromarray(np.stack([np.tile(slope, (224, 1))] * 3, axis=-1))
    red_to_blue = np.zeros((224, 224, 3), dtype=np.uint8)
    red_to_blue[..., 0], red_to_blue[..., 2] = slope[:, None], slope[None, ::-1]
    circle = PIL.Image.new("RGB", (224, 224), "white")
    PIL.ImageDraw.Draw(circle).ellipse((40, 20, 180, 200), fill="darkgreen")
    stripes = PIL.Image.new("RGB", (224, 224), "orange")
    for x in range(0, 224, 16):
        PIL.ImageDraw.Draw(stripes).line((x, 0, 223 - x, 223), fill="navy", width=5)
    plain = [PIL.Image.new("RGB", (224, 224), colour) for colour in ("black", "white")]
    coarse = noise.resize((7, 7)).resize((224, 224))
    demo = [
        PIL.Image.open(io.BytesIO(draw(f"demo:{what}?look=81&colour={colour}&shot=2")))
        for what, colour in (("phone", "Navy"), ("laptop", "Silver"), ("camera", "Red"))
    ]
    drawn = [noise, across, PIL.Image.fromarray(red_to_blue), circle, stripes, *plain, coarse]
    return [np.array(image.convert("RGB")) for image in (*drawn, *demo)]
