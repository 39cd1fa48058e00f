"""What a cell of a table says, as text."""

import math
from decimal import Decimal
from typing import Any

from stages.common.errors import InputError


def to_text(value: Any, where: str) -> str | None:
    """Return a cell as text: 123 and 123.0 as "123", a missing number as None.

    Raises InputError, which starts with `where`, if the value cannot be read as text.
    """
    match value:
        case None | str():
            text = value
        case bool():
            text = str(value).lower()
        case int():
            text = str(value)
        case float():  # what pandas makes of a column of whole numbers with gaps in it
            text = str(int(value)) if value.is_integer() else str(value)
            text = None if math.isnan(value) else text
        case Decimal():
            text = f"{value.normalize():f}"
        case _:
            raise InputError(f"{where}: a {type(value).__name__} cannot be read as text")
    if text and not is_unicode(text):
        raise InputError(f"{where} is not UTF-8: save the file as UTF-8")
    return text


def is_unicode(text: str) -> bool:
    """Return whether all bytes of `text` could be decoded."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
