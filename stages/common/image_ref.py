"""Where an image is: the text in the column `image` of data/products.parquet, as a type."""

from dataclasses import dataclass
from typing import Literal, Self

Scheme = Literal["url", "file", "archive", "demo", "unusable"]

_PREFIXED: tuple[Scheme, ...] = ("file", "archive", "demo")


@dataclass(frozen=True)
class ImageRef:
    """A reference to an image.

    `scheme` says what `location` is: an http or https URL, the path of a file in the catalogue's
    folder, the name of a member of the catalogue's archive, what the demo draws, or what the
    catalogue has there that cannot be used, for this `reason`. As text, all but a URL have their
    scheme in front, such as `file:images/1.jpg`.
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
        raise ValueError("neither a URL nor file:, archive: or demo:")

    def __str__(self) -> str:
        """Return the text of the reference, which `parse` reads."""
        if self.scheme == "url":
            return self.location
        if self.scheme == "unusable":
            return f"unusable:{self.reason}\t{self.location}"
        return f"{self.scheme}:{self.location}"


def is_url(text: str) -> bool:
    """Return whether a text starts like an http or https URL."""
    return text[:8].lower().startswith(("http://", "https://"))
