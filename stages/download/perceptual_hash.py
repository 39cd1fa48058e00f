"""A number that images which look the same share, so that near-duplicates are found by it."""

import io

import numpy as np
from PIL import Image
from scipy.fft import dctn

SIDE = 32  # pixels of the image that is hashed
MIN_STD = 3.0  # levels of 255: below this standard deviation an image is blank, but for noise


def perceptual_hash(jpeg: bytes) -> int | None:
    """Return the perceptual hash of a JPEG, 64 bits; None for a blank image.

    Each bit says whether one of the 8×8 lowest frequencies of the brightness is above their median.
    The same bytes give the same hash, and images that look the same mostly do.
    """
    with Image.open(io.BytesIO(jpeg)) as image:
        image.draft("L", (SIDE, SIDE))  # decodes a fraction of the pixels, several times as fast
        grey = image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    pixels = np.asarray(grey, dtype=np.float64)
    if pixels.std() < MIN_STD:
        return None
    low = dctn(pixels, norm="ortho")[:8, :8].ravel()
    return int.from_bytes(np.packbits(low > np.median(low[1:])).tobytes(), "big")
