"""Any picture that shops serve, made into the one form that the pipeline knows."""

import io

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

SIDE = 224  # pixels
QUALITY = 90
MAX_PIXELS = 100_000_000
CONVERSION = 1  # to be raised when `to_jpeg` gives other bytes than before, so that none are reused

# Only what shops serve: some of Pillow's other formats start programs or are slow to refuse.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF")

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


class PictureError(ValueError):
    """Data that cannot be made into a picture: a short reason, the same for alike."""


def to_jpeg(data: bytes) -> bytes:
    """Make a picture file into a JPEG of 224×224 pixels, RGB, 8 bits a channel.

    The whole picture is kept: it is scaled (Lanczos, up or down) until its longer side is 224, and
    white is added to make it square. Cropping would cut off the ends of long products, and
    stretching would change their shape; shops show products on white, so white adds no edge.
    Transparent pixels become white, an animation's first frame is taken, EXIF orientation is
    applied, and 16-bit grey keeps its upper 8 bits. The same bytes in give the same bytes out.

    A JPEG that has that form already is returned as it is, so that it is not compressed twice; it
    is decoded nevertheless, to be sure that it is whole.

    Raises PictureError where the data is empty, no picture, damaged, or larger than 100 megapixels,
    which is refused before it is decoded.
    """
    if not data:
        raise PictureError("empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            size = picture.size
            if size[0] * size[1] > MAX_PIXELS:
                raise PictureError("more than 100 megapixels")
            picture.draft(None, (2 * SIDE, 2 * SIDE))  # a large JPEG is decoded at a fraction
            picture.load()
            orientation = _orientation(picture)
            is_plain = picture.format == "JPEG" and picture.mode == "RGB"
            if is_plain and size == (SIDE, SIDE) and orientation == UPRIGHT:
                return data
            square = _square(picture, orientation)
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError("more than 100 megapixels") from None
    except UnidentifiedImageError:
        raise PictureError("no picture") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
        raise PictureError("a damaged picture") from error
    file = io.BytesIO()
    square.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; damaged EXIF data counts as none."""
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except Exception:
        return UPRIGHT
    return orientation if orientation in TURNS else UPRIGHT


def _square(picture: Image.Image, orientation: int) -> Image.Image:
    """Fit `picture` on a white square of 224×224 pixels, RGB."""
    picture = _in_8_bits(picture)
    picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    scale = SIDE / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    if orientation in TURNS:
        picture = picture.transpose(TURNS[orientation])
    square = Image.new("RGB", (SIDE, SIDE), "white")
    corner = ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2)
    square.paste(picture, corner, picture if picture.mode == "RGBA" else None)
    return square


def _in_8_bits(picture: Image.Image) -> Image.Image:
    """Make grey of more than 8 bits into grey of 8: Pillow's own conversion would clip it."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):  # of unknown range: from its darkest value to its brightest
        values = np.asarray(picture, dtype=np.float64)
        low, high = values.min(), values.max()
        scaled = (values - low) * (255 / (high - low)) if high > low else np.zeros(values.shape)
        return Image.fromarray(scaled.round().astype(np.uint8))
    return picture
