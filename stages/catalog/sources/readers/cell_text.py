"""What a cell of a table says, as text."""

import datetime
import math
import re
from decimal import Decimal
from typing import Any
from uuid import UUID

from stages.catalog.sources.readers.rows import RowError

NOT_UTF8 = "save the file as UTF-8, or name its encoding in data.table.encoding, such as cp1252"
EXACT = 2.0**53  # up to which a float holds every whole number

# Half of an emoji, as of a text that a shop cut to so many characters. The others of these stand
# for bytes that are not UTF-8.
_HALF_CHARACTER = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def to_text(value: Any, separator: str = " ") -> str | None:
    """Return a cell as text: 123 and 123.0 as "123", a missing number as None, a date as ISO 8601.

    Binary text is read as UTF-8. The texts of a list are joined by `separator`. U+FFFD stands for
    half an emoji. Raises RowError if the value cannot be read as text.
    """
    match value:
        case None | str():
            text = value
        case bool():
            text = str(value).lower()
        case int() | UUID() | datetime.timedelta():
            text = str(value)
        case float():  # what pandas makes of a column of whole numbers with gaps in it
            text = str(int(value)) if value.is_integer() else str(value)
            if EXACT <= abs(value) < math.inf:  # its last digits are not known
                text = f"{Decimal(repr(value)):E}"
            text = None if math.isnan(value) else text
        case Decimal():
            text = f"{value:f}"
            text = text.rstrip("0").rstrip(".") if "." in text else text
        case datetime.datetime() if value.time() == datetime.time() and value.tzinfo is None:
            text = value.date().isoformat()  # pandas has no other dates
        case datetime.date() | datetime.time():  # a datetime is a date
            text = value.isoformat()
        case bytes():
            text = _decode(value)
        case list():
            texts = [to_text(item, separator) for item in value]
            text = separator.join(text for text in texts if text) or None
        case dict():
            keys = ", ".join(map(repr, value)) or "none"
            raise RowError(f"is an object with the keys {keys}", "write its text into a column")
        case _:
            raise RowError(f"is a {type(value).__name__}", "write it as text")
    if text and not is_unicode(text):
        text = _HALF_CHARACTER.sub("\ufffd", text)
        if not is_unicode(text):
            raise RowError("is not UTF-8", NOT_UTF8)
    return text


def _decode(value: bytes) -> str:
    """Return binary text as text."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise RowError("is binary and not UTF-8", "write it as text, in UTF-8") from None


def is_unicode(text: str) -> bool:
    """Return whether all bytes of `text` could be decoded."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
