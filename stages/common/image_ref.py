"""Where an image is: the text in the column `image` of data/products.parquet, as a type."""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self
from urllib.parse import quote, unquote

Scheme = Literal["url", "file", "archive", "embedded", "demo", "unusable"]

_PREFIXED: tuple[Scheme, ...] = ("file", "archive", "embedded", "demo")


@dataclass(frozen=True)
class ImageRef:
    """A reference to an image.

    `scheme` says what `location` is: a URL (see `is_url`), the path of a file in the catalogue's
    folder, the name of a member of the catalogue's archive, a cell of a table (see
    `EmbeddedImage`), what the demo draws, or what the catalogue has there that cannot be used, for
    this `reason`. As text, all but a URL have their scheme in front, such as `file:images/1.jpg`.
    """

    scheme: Scheme
    location: str
    reason: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` returns. Raises ValueError where the text has none of the schemes."""
        if is_url(text):
            return cls("url", text)
        prefix, _, location = text.partition(":")
        if prefix == "unusable" and "\t" in location:
            reason, _, location = location.partition("\t")
            return cls("unusable", location, reason)
        for scheme in _PREFIXED:
            if prefix == scheme and text != prefix:
                return cls(scheme, location)
        raise ValueError("neither a URL nor file:, archive:, embedded: or demo:")

    def __str__(self) -> str:
        """Return the text of the reference, which `parse` reads."""
        if self.scheme == "url":
            return self.location
        if self.scheme == "unusable":
            return f"unusable:{self.reason}\t{self.location}"
        return f"{self.scheme}:{self.location}"


class EmbeddedImage(NamedTuple):
    """Where an image is whose bytes are in a table: `file`, in the catalogue's folder, and cell.

    `row` counts from 1. `item` counts from 1 the images of a cell that is a list; it is None for a
    cell that is an image.
    """

    file: str
    column: str
    row: int
    item: int | None = None

    @classmethod
    def parse(cls, location: str) -> Self:
        """Read what `location` returns. Raises ValueError where the text is none."""
        file, column, place = location.split("#")
        row, _, item = place.partition(".")
        return cls(unquote(file), unquote(column), int(row), int(item) if item else None)

    @property
    def location(self) -> str:
        """The location of an ImageRef, such as `products.parquet#image#12`."""
        place = f"{self.row}" if self.item is None else f"{self.row}.{self.item}"
        return f"{_escape(self.file)}#{_escape(self.column)}#{place}"


def _escape(name: str) -> str:
    return re.sub(r"[#%\x00-\x1f]", lambda found: quote(found[0]), name)


def is_url(text: str) -> bool:
    """Return whether a text starts like a URL of a host, or of an object in a store."""
    return text[:8].lower().startswith(("http://", "https://", "s3://", "gs://"))
