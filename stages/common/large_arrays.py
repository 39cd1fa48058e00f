"""Arrays that may be larger than memory: large ones lie in nameless files, mapped into memory.

The system keeps in memory what it has room for of a mapped file. The files lie in the folder of
the environment variable TMPDIR if it is set, else in `.cache`, and are gone with the process.
"""

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from stages.common.cache import cache_folder
from stages.common.errors import InputError

LARGE = 2**28  # bytes from which an array lies in a file
ROWS = 2048  # that are worked on at a time


class LargeArray:
    """An array that grows by parts, of the type and the last dimensions of the first part."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._file: IO[bytes] | None = None
        self._shape: tuple[int, ...]
        self._dtype: np.dtype

    def append(self, part: np.ndarray) -> None:
        """Add rows, of shape (n, ...); raises InputError where the disk is full."""
        if self._file is None:
            self._parts.append(part)
            if sum(one.nbytes for one in self._parts) >= LARGE:
                self._move_to_file()
        else:
            self._write(part)

    def finish(self) -> np.ndarray:
        """Return all rows, of shape (n of all, ...), to read and to write; no more are added.

        At least one part must have been added.
        """
        if self._file is None:
            return np.concatenate(self._parts)
        return _mapped(self._file, self._shape, self._dtype)

    def _move_to_file(self) -> None:
        self._file = _open_file()
        self._shape, self._dtype = (0, *self._parts[0].shape[1:]), self._parts[0].dtype
        for part in self._parts:
            self._write(part)
        self._parts.clear()

    def _write(self, part: np.ndarray) -> None:
        assert self._file
        try:
            self._file.write(np.ascontiguousarray(part).data)
            self._file.flush()  # or a full disk would show elsewhere
        except OSError as error:
            raise _no_room(part.nbytes, error) from None
        self._shape = (self._shape[0] + len(part), *self._shape[1:])


def empty_array(shape: Sequence[int]) -> np.ndarray:
    """Return float32 of a shape to be filled; raises InputError where the disk has no room."""
    size = math.prod(shape) * 4
    if size < LARGE:
        return np.empty(shape, dtype=np.float32)
    file = _open_file()
    # The room is taken now: to write to a mapped file on a full disk would kill the process.
    reserve = getattr(os, "posix_fallocate", lambda number, _, size: os.truncate(number, size))
    try:
        reserve(file.fileno(), 0, size)
    except OSError as error:
        raise _no_room(size, error) from None
    return _mapped(file, shape, np.dtype(np.float32))


def select_rows(rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the rows, float32 (n, size), for which `chosen`, boolean (n,), holds: a copy."""
    found = empty_array((int(chosen.sum()), *rows.shape[1:]))
    end = 0
    for part in slices(len(rows)):
        some = rows[part][chosen[part]]
        found[end : end + len(some)] = some
        end += len(some)
    return found


def slices(n: int) -> Iterator[slice]:
    """Yield the slices of n rows that are worked on at a time."""
    return (slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS))


def _folder() -> Path:
    return Path(os.environ.get("TMPDIR") or cache_folder())


def _open_file() -> IO[bytes]:
    _folder().mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=_folder())


def _mapped(file: IO[bytes], shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """Return a file as an array; the map outlives the file's object."""
    with file:
        return np.asarray(np.memmap(file, dtype, "r+", shape=tuple(shape)))


def _no_room(size: int, error: OSError) -> InputError:
    return InputError(
        f"{_folder()} has no room for {size / 1e9:.1f} GB of features ({error.strerror}): free "
        "some, or name a folder with more in the environment variable TMPDIR"
    )
