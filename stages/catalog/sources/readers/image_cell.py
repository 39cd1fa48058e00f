"""What a cell of the column of images names: a URL or a path, or several as a JSON list.

A cell of a Parquet file may hold the image itself, as bytes.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from stages.catalog.image_cells import CellScheme, image_keys, names_nothing
from stages.catalog.sources.readers.cell_text import to_text
from stages.catalog.sources.readers.rows import RowError
from stages.common.image_ref import is_url


def embedded_items(value: Any) -> Iterator[int | None]:
    """Yield where in a cell images are embedded as bytes.

    None stands for a cell that is an image; in a list, images count from 1.
    """
    if isinstance(value, list):
        yield from (number for number, item in enumerate(value, start=1) if _is_embedded(item))
    elif _is_embedded(value):
        yield None


def to_image_text(value: Any, scheme: CellScheme, is_there: Callable[[str], bool]) -> str | None:
    """Return a cell as the text of its image; a list as a JSON list of the texts of its images.

    Leave out what `embedded_items` finds. `scheme` says what the column holds, `is_there` whether
    the path of an image that JSON holds as text names a file or URL too. Raises RowError where it
    does not, and where the cell is neither an image nor a list of images.
    """
    match value:
        case list():
            texts = [to_image_text(item, scheme, is_there) for item in value]
            found = [text for text in texts if text and text.strip()]
            return json.dumps(found, ensure_ascii=False) if found else None
        case _ if _is_embedded(value):
            return None
        case dict():
            return _image_of_object(value, scheme, is_there)
        case _:
            return to_text(value)


def _is_embedded(value: Any) -> bool:
    """Return whether an image is here as bytes: in an object, or alone and no text."""
    if isinstance(value, dict):
        return isinstance(value.get("bytes"), bytes) and value["bytes"] != b""
    if not isinstance(value, bytes):
        return False
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _image_of_object(
    image: dict[str, Any], scheme: CellScheme, is_there: Callable[[str], bool]
) -> str | None:
    """Return the text of an image such as {"bytes": ..., "path": ...}.

    If none of the keys has one, return the URLs among the other values.
    """
    keys = [key for key in image_keys(scheme) if key in image]
    if not keys and "bytes" not in image:
        return to_text(image)  # which says that an object is no text
    texts = (to_text(image[key]) for key in keys)
    text = next((text for text in texts if text and not names_nothing(text)), None)
    text = text or to_text([one for one in image.values() if isinstance(one, str) and is_url(one)])
    if image.get("bytes") and not (text and is_there(text)):
        raise RowError(
            "holds an image that is embedded in the table as text",
            "write the table as Parquet, with the images as bytes; or the images to files in "
            "data.folder, and their paths into the column that data.table.image_path names",
        )
    return text
