"""Images as encoders take them: decoded, and resized to what a network takes."""

import numpy as np
import PIL.Image
import simplejpeg

Pixels = np.ndarray  # of an image in RGB: uint8 of shape (height, width, 3)

DEFAULT_SIZE = 224  # pixels of the side that a network takes, where it does not say


def open_jpeg(jpeg: bytes) -> Pixels:
    """Return the pixels of a JPEG, decoded beside other threads; raises ValueError for another.

    One with slight damage, such as superfluous bytes, is read as Pillow reads it.
    """
    return simplejpeg.decode_jpeg(jpeg, strict=False)


def resize(image: Pixels, width: int, height: int) -> Pixels:
    """Return an image in another size, or the image itself if it has that size."""
    if image.shape[:2] == (height, width):
        return image
    return np.array(PIL.Image.fromarray(image).resize((width, height)))
