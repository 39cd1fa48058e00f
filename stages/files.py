"""Files that are either whole or absent: written beside their place, then renamed into it."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` only if the block ends without an error.

    What a killed run left there is removed first.
    """
    part = path.parent / f".{path.name}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.unlink(missing_ok=True)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to write into, which becomes `path` if the block ends without an error.

    A folder that was at `path` before is replaced; what a killed run left beside it is removed.
    """
    part = path.parent / f".{path.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if path.exists():
            shutil.rmtree(path)
        part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with the line ends that it has."""
    with whole_file(path) as part:
        part.write_bytes(text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, its keys in the order in which they were put."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
