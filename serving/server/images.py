"""The images of a request: from base64 and from URLs, never larger than the settings say."""

import base64
import binascii
import io
import re

from stages.download.image_conversion import FORMATS, WHITESPACE, ImageError

_DATA_URL = re.compile(r"data:[\w.+/;=-]{0,100},", re.ASCII)


def decode(image: str | bytes, max_bytes: int) -> bytes:
    """Return the bytes of a file that is given in base64, as a data: URL or as it is.

    Raises ImageError where it is no base64, or more than `max_bytes`.
    """
    if isinstance(image, str):
        start = found.end() if (found := _DATA_URL.match(image)) else 0
        if (len(image) - start) * 3 // 4 > max_bytes + 2:
            raise too_large(max_bytes)
        try:
            image = base64.b64decode("".join(image[start:].split()), validate=True)
        except (binascii.Error, ValueError):
            raise ImageError("no valid base64") from None
    if len(image) > max_bytes:
        raise too_large(max_bytes)
    return image


def too_large(max_bytes: int) -> ImageError:
    """Return the error of a file with more than `max_bytes` bytes."""
    return ImageError(f"more than {max_bytes:,} bytes")


def check_pixels(content: bytes, max_megapixels: int) -> None:
    """Raise ImageError where an image, whose data are not decoded yet, has too many pixels."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(content.lstrip(WHITESPACE)), formats=FORMATS)
    except Exception:  # whoever decodes it says what is wrong
        return
    if image.width * image.height > max_megapixels * 1_000_000:
        raise ImageError(f"more than {max_megapixels} megapixels")
