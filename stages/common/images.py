"""Images as encoders take them: decoded, and resized to what a network takes."""

import io

import PIL.Image
from PIL.Image import Image

DEFAULT_SIZE = 224  # pixels of the side that a network takes, where it does not say


def open_jpeg(jpeg: bytes) -> Image:
    """Return the RGB image of a JPEG; its pixels are decoded when they are first read."""
    image = PIL.Image.open(io.BytesIO(jpeg))
    return image if image.mode == "RGB" else image.convert("RGB")


def resize(image: Image, width: int, height: int) -> Image:
    """Return an image in another size, or the image itself if it has that size."""
    return image if image.size == (width, height) else image.resize((width, height))
