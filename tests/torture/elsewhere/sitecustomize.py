"""Imported by Python at its start: lists folders backwards, as another file system might."""

import os
from collections.abc import Iterator
from typing import Any

_listdir, _scandir = os.listdir, os.scandir


class _Backwards:
    """What os.scandir gives, by falling name."""

    def __init__(self, *where: Any) -> None:
        with _scandir(*where) as entries:
            self._entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

    def __enter__(self) -> "_Backwards":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __iter__(self) -> Iterator[os.DirEntry]:
        return self._entries

    def __next__(self) -> os.DirEntry:
        return next(self._entries)

    def close(self) -> None:
        """Have nothing more to give."""
        self._entries = iter(())


def _names_backwards(*where: Any) -> list[Any]:
    return sorted(_listdir(*where), reverse=True)


os.listdir, os.scandir = _names_backwards, _Backwards
