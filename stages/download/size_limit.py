"""Refuse a file that is too large before it fills the disk."""

import shutil
from pathlib import Path

from stages.download.failures import DiskFullError, RequestError, too_large

MIN_FREE = 256_000_000  # bytes of the disk that a download leaves free


class SizeLimit:
    """How large a file may be: what its reader accepts, and what its disk has room for."""

    def __init__(self, folder: Path, max_bytes: int | None) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._free = shutil.disk_usage(folder).free

    def check(self, size: int) -> None:
        """Raise RequestError where a file of `size` bytes is too large."""
        if self._max_bytes is not None and size > self._max_bytes:
            raise RequestError(too_large(self._max_bytes).reason)
        if size > self._free - MIN_FREE:
            raise DiskFullError(
                f"it has {size:,} bytes or more, and {self._free:,} were free in {self._folder}, "
                f"of which {MIN_FREE:,} stay free"
            )
