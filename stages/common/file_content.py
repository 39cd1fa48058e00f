"""The bytes and the text of a file, decompressed and decoded by what the file says of itself."""

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pyarrow as pa

from stages.common.errors import InputError

COMPRESSED_ENDINGS = (".gz", ".bz2", ".zst")

_COMPRESSED = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "bz2": re.compile(rb"BZh[1-9]1AY&SY"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd"),
}
# UTF-32 first: its mark of little-endian text starts with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_NO_TEXT = re.compile(rb"PK\x03\x04|\xd0\xcf\x11\xe0|PAR1\x15")  # workbooks, Parquet


def is_encoding(name: str) -> bool:
    """Return whether Python knows an encoding of text by this name."""
    try:
        "".encode(name)
    except (LookupError, UnicodeError, ValueError):
        return False
    return True


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file, decompressed if it is compressed, whatever its name is.

    Raises InputError where it cannot be decompressed.
    """
    with path.open("rb") as file:
        head = file.peek(16)
        compression = next((name for name, start in _COMPRESSED.items() if start.match(head)), None)
        if compression is None:
            yield file
            return
        try:
            with pa.CompressedInputStream(file, compression) as stream:
                yield io.BufferedReader(stream)
        except OSError as error:
            raise InputError(
                f"{path} is damaged and cannot be decompressed ({compression}: {error}): "
                f"compress it again"
            ) from None


@contextmanager
def open_text(
    path: Path, newline: str | None = None, encoding: str | None = None
) -> Iterator[TextIO]:
    """Open a file as text: as its mark of UTF-8, UTF-16 or UTF-32 says, else in `encoding`.

    Without both it is UTF-8. Bytes that cannot be decoded are kept as surrogates, so that the
    reader can name their row. Raises InputError where the file cannot be decompressed, where it is
    a workbook or a Parquet file by its first bytes, and where UTF-16 ends within a character.
    """
    with open_bytes(path) as file:
        head = file.peek(5)
        if _NO_TEXT.match(head):
            raise InputError(
                f"{path} is no text, as its name says, but a workbook or the like: save it as "
                "text, or name it for what it is, such as .xlsx"
            )
        marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
        chosen = marked or encoding or "utf-8"
        is_wide = codecs.lookup(chosen).name.startswith(("utf-16", "utf-32"))  # of half an emoji
        errors = "surrogatepass" if is_wide else "surrogateescape"
        try:
            yield io.TextIOWrapper(file, chosen, errors, newline)
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is damaged: {error}: save it again, as UTF-8") from None
