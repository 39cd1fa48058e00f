"""Rows as they come, of any types, to products as the predictor takes them: clean and converted."""

import io
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps

from serving.products import Product
from stages.catalog.missing_values import clean_text
from stages.catalog.sources.readers.cell_text import to_text
from stages.catalog.sources.readers.rows import RowError
from stages.common.image_ref import is_url
from stages.download.image_conversion import ImageError, to_jpeg
from stages.fusion.model_file import ModelFile

TEXT_KEYS = ("name", "description", "manufacturer")
KEYS = ("sku", *TEXT_KEYS, "image")
_KEY_LIST = ", ".join(KEYS)
_MISSING = ("NAType", "NaTType")  # types of pandas, which is not imported here: it takes a second
_PNG_MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
_IN_NO_FILE = {"HSV": "RGB", "La": "LA", "RGBa": "RGBA"}  # modes, and those that files have


def read_product(
    row: Any,
    inputs: Collection[str],
    image_size: int | None,
    fields: Collection[str] = TEXT_KEYS,
) -> Product:
    """Return a product, its texts cleaned and its image converted as the pipeline does both.

    `row` is a mapping with any of KEYS. Its image is the bytes of a file, a Pillow image or the
    path of a file. `inputs` says what the model sees, and `fields` which texts: what it does not
    see is not read, so it never fails. Nothing is raised for a faulty row: `error` or `image_error`
    says what is wrong with it.
    """
    if not isinstance(row, Mapping):
        return Product(error=f"the row is a {type(row).__name__}, not a mapping of {_KEY_LIST}")
    sku, error = _text(row, "sku")
    sku = (sku or "").strip() or None
    wanted = [*fields] * ("text" in inputs) + ["image"] * ("image" in inputs)
    if set(wanted).isdisjoint(row) and not set(KEYS).issuperset(row):
        keys = ", ".join(map(repr, row))
        unusable = f"the row has the keys {keys} and none of {', '.join(wanted)}: rename its keys"
        return Product(sku=sku, error=error or unusable)
    texts: dict[str, str] = {}
    if "text" in inputs:
        for key in fields:
            text, fault = _text(row, key)
            texts[key] = clean_text(text)
            error = error or fault
    if error:
        return Product(sku=sku, error=error)
    jpeg = image_error = None
    if "image" in inputs:
        try:
            jpeg = _read_image(_plain(row.get("image")), image_size or 0)
        except ImageError as fault:
            image_error = str(fault)
    return Product(sku=sku, jpeg=jpeg, image_error=image_error, **texts)


def fields_read(model: ModelFile) -> list[str]:
    """Return the texts of a product that a model reads: those that it was trained with.

    Its probabilities, and what they promise, hold without a text that its table of products lacked.
    """
    fields = {field for encoder in model.encoders.values() for field in encoder.fields}
    columns = model.table or {}
    return [key for key in TEXT_KEYS if key in fields and columns.get(key, key)]


def _plain(value: Any) -> Any:
    """Return a value of NumPy's as Python's own, and None for a missing one, also of pandas."""
    if isinstance(value, np.generic):
        value = value.item()
    is_nan = isinstance(value, float) and value != value
    return None if is_nan or type(value).__name__ in _MISSING else value


def _text(row: Mapping[Any, Any], key: str) -> tuple[str | None, str | None]:
    """Return a text of a row, or why it cannot be read."""
    value = _plain(row.get(key))
    if isinstance(value, np.ndarray):  # what pandas makes of a list in a Parquet file
        value = value.tolist()
    try:
        return to_text(value), None
    except RowError as error:
        return None, f"{key} {error.reason}: {error.fix}"
    except (ValueError, RecursionError):  # too many digits, a list within itself
        return None, f"{key} is a {type(value).__name__} that is no text: write it as text"


def _read_image(image: Any, size: int) -> bytes | None:
    """Return the JPEG that the encoders take; None where there is no image.

    Raises ImageError with the reason where there is one that cannot be read.
    """
    match image:
        case None:
            return None
        case str() if not image:  # an array, compared with "", has no truth value
            return None
        case bytes() | bytearray() | memoryview():
            return to_jpeg(bytes(image), size)
        case PIL.Image.Image():
            return to_jpeg(_file_of(image), size)
        case str() if is_url(image):
            raise ImageError("a URL, which is not fetched here: give the file's bytes or path")
        case str() | Path():
            return to_jpeg(_content(image), size)
        case _:
            raise ImageError(f"a {type(image).__name__}: give bytes, a Pillow image or a path")


def _content(path: str | Path) -> bytes:
    """Return the bytes of a file; raise ImageError where it cannot be read."""
    try:
        file = Path(path)
        if not file.is_file():
            raise ImageError("no such file")
        return file.read_bytes()
    except ImageError:
        raise
    except (OSError, ValueError):  # not to be read, too long for a path, a null byte in it
        raise ImageError("a file that cannot be read") from None


def _file_of(image: PIL.Image.Image) -> bytes:
    """Return a Pillow image as a file that keeps all its values; raise ImageError if damaged."""
    file = io.BytesIO()
    try:
        with suppress(Exception):  # damaged EXIF data turn nothing, as in the pipeline
            image = PIL.ImageOps.exif_transpose(image)
        if image.mode in _IN_NO_FILE:
            image = image.convert(_IN_NO_FILE[image.mode])
        image.save(file, "PNG" if image.mode in _PNG_MODES else "TIFF", compress_level=1)
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
        raise ImageError("a damaged image") from error
    return file.getvalue()
