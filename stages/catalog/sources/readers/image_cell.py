"""What a cell of the column of images names: a URL or a path, or several as a JSON list."""

import json
from collections.abc import Callable
from typing import Any

from stages.catalog.sources.readers.cell_text import to_text
from stages.catalog.sources.readers.rows import RowError

# The key of an image that is an object: `path` in Hugging Face's data sets, the others in shops'.
_KEYS = ("path", "url", "src")


def to_image_text(value: Any, is_there: Callable[[str], bool]) -> str | None:
    """Return a cell as the text of its image; a list as a JSON list of the texts of its images.

    `is_there` says whether the path of an image that is embedded in the table names a file or URL
    too. Raises RowError where an image is embedded in the table alone, and where the cell is
    neither an image nor a list of images.
    """
    match value:
        case list():
            texts = [to_image_text(item, is_there) for item in value]
            found = [text for text in texts if text and text.strip()]
            return json.dumps(found, ensure_ascii=False) if found else None
        case dict():
            return _image_of_object(value, is_there)
        case bytes():
            try:
                return to_text(value)
            except RowError:
                raise _embedded() from None
        case _:
            return to_text(value)


def _image_of_object(image: dict[str, Any], is_there: Callable[[str], bool]) -> str | None:
    """Return the text of an image such as {"bytes": ..., "path": ...}."""
    keys = [key for key in _KEYS if key in image]
    if not keys and "bytes" not in image:
        return to_text(image)  # which says that an object is no text
    text = next((text for key in keys if (text := to_text(image[key]))), None)
    if image.get("bytes") and not (text and is_there(text)):
        raise _embedded()
    return text


def _embedded() -> RowError:
    return RowError(
        "holds an image that is embedded in the table",
        "write the images to files in data.folder, and their paths into the column that "
        "data.table.image_path names",
    )
