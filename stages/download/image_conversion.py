"""Convert any image that shops serve to the one form that the pipeline stores."""

import functools
import io

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from stages.common.images import open_jpeg
from stages.download.content_names import name_content
from stages.download.jpeg_end import with_end

QUALITY = 90
MAX_PIXELS = 100_000_000
VERSION = 1  # raise it when `to_jpeg` returns other bytes, so that stored images are not reused

# The formats that shops serve. Some of Pillow's others start programs or are slow to refuse.
# "JPEG" reads MPO, what cameras with two lenses write. AVIF and HEIF share some of their marks.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "HEIF")
WHITESPACE = b" \t\r\n"  # what a faulty script sends first; no image starts with it

UPRIGHT = 1
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """Data that cannot be converted: a short reason, equal for equal causes."""


def to_jpeg(data: bytes, size: int) -> bytes:
    """Convert an image file to a JPEG of `size` × `size` pixels, RGB, 8 bits a channel.

    The whole image is kept: scale it (Lanczos, up or down) until its longer side is `size`, then
    add white to make it square. Cropping would cut off the ends of long products, and stretching
    would change their shape. Shops show products on white, so white adds no edge. Transparent
    pixels become white. The first frame of an animation is taken, EXIF orientation is applied, and
    16-bit grey keeps its upper 8 bits. The same bytes in give the same bytes out.

    A JPEG that already has this form is returned unchanged, so that it is not compressed twice. It
    is still decoded, to check that it is whole.

    A JPEG that lacks its end is taken if no more than that is missing: see `jpeg_end`.

    Raises ImageError where the data is empty, damaged, not an image, or larger than 100 megapixels,
    which is refused before it is decoded. What is no image is named: "a web page".
    """
    data = data.lstrip(WHITESPACE)
    if not data:
        raise ImageError("empty")
    _register_heif()
    try:
        image, is_whole = _decode(data, size)
        orientation = _orientation(image)
        is_plain = image.format == "JPEG" and image.mode == "RGB"
        is_done = is_whole and is_plain and image.size == (size, size) and orientation == UPRIGHT
        if is_done and _is_readable(data):
            return data
        square = _square(image, orientation, size)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError("more than 100 megapixels") from None
    except UnidentifiedImageError:
        raise ImageError(name_content(data)) from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
        raise ImageError("a damaged image") from error
    file = io.BytesIO()
    square.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _is_readable(jpeg: bytes) -> bool:
    """Return whether encoders can read a JPEG that Pillow can."""
    try:
        open_jpeg(jpeg)
    except ValueError:
        return False
    return True


def _decode(data: bytes, size: int) -> tuple[Image.Image, bool]:
    """Return an image, decoded, and whether its file is whole: a JPEG may lack its end."""
    image = _open(data, size)
    try:
        image.load()
    except OSError:
        is_jpeg = image.format in ("JPEG", "MPO")
        ended = with_end(data, "progressive" in image.info) if is_jpeg else None
        if ended is None:
            raise
        image = _open(ended, size)
        image.load()
        return image, False
    return image, True


def _open(data: bytes, size: int) -> Image.Image:
    """Open an image that is decoded at a fraction of its size, if it is a large JPEG."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise ImageError("more than 100 megapixels")
    image.draft(None, (2 * size, 2 * size))
    return image


@functools.cache
def _register_heif() -> None:
    """Add HEIF, which is HEIC as well, to Pillow's formats; embedded thumbnails are not used."""
    import pi_heif

    pi_heif.register_heif_opener(
        thumbnails=False, depth_images=False, aux_images=False, decode_threads=1
    )


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if the EXIF data are damaged."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except Exception:
        return UPRIGHT
    return orientation if orientation in TURNS else UPRIGHT


def _square(image: Image.Image, orientation: int, size: int) -> Image.Image:
    """Fit `image` on a white square of `size` × `size` pixels, RGB."""
    image = _in_8_bits(image)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])
    square = Image.new("RGB", (size, size), "white")
    corner = ((size - image.width) // 2, (size - image.height) // 2)
    square.paste(image, corner, image if image.mode == "RGBA" else None)
    return square


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Convert grey of more than 8 bits to 8 bits. Pillow's own conversion would clip it."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):  # of unknown range: from its darkest value to its brightest
        values = np.asarray(image, dtype=np.float64)
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0, 0)
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
        scaled = (values - low) * (255 / (high - low)) if high > low else np.zeros(values.shape)
        return Image.fromarray(scaled.round().astype(np.uint8))
    return image
