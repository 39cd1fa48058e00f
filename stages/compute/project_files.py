"""The project's folder on a machine of a cluster: itself where it is shared, else a copy.

A copy has the files that the tasks of a run read, at the same places below a folder for temporary
files. It stays there, so that the next run copies only what has changed.
"""

import hashlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from stages.common.cache import cache_folder, remove_unused
from stages.common.errors import InputError
from stages.common.files import atomic_file, write_text

# In the cache, with a file of each run: a machine that sees that of a run shares its folder.
MARKS = "shared_folder_of_runs"
MAX_MARKS = 1000
PART = 64 * 2**20  # bytes of a file that travel together

Fetch = Callable[[Path, int], bytes]  # returns PART bytes of a file from a byte on, or what is left


@dataclass(frozen=True)
class SourceFile:
    """A file that tasks read, where the run was started; `changed` is in nanoseconds."""

    path: Path
    size: int
    changed: int


@dataclass(frozen=True)
class ProjectFolder:
    """The folder that a run was started in, and the files that its tasks read.

    A machine has the folder if it sees the file `mark`. `folders` are those of which `files` are
    all that there is. `copy` names the folder of a copy, and `node` is Ray's name of the machine
    that the files are on.
    """

    path: Path
    mark: Path
    files: tuple[SourceFile, ...]
    folders: tuple[Path, ...]
    copy: str
    node: str

    def prepare(self, fetch: Fetch) -> tuple[Path, int]:
        """Return the folder on this machine, with its files, and how many bytes were copied."""
        with suppress(OSError):
            if self.mark.is_file():
                return self.path, 0
        top = Path(tempfile.gettempdir()) / f"product-classifier-{os.getuid()}-{self.copy}"
        top.mkdir(mode=0o700, parents=True, exist_ok=True)
        if top.stat().st_uid != os.getuid():
            raise InputError(f"{top} on {socket.gethostname()} belongs to another user: remove it")
        with FileLock(top / ".lock"):
            # What an earlier run copied and is gone there would be taken for a part of its folder.
            here = {top / file.path.relative_to("/") for file in self.files}
            for folder in self.folders:
                for old in set(_below(top / folder.relative_to("/"))) - here:
                    old.unlink(missing_ok=True)
                    with suppress(OSError):  # it is not empty
                        old.parent.rmdir()
            n_bytes = sum(
                _copy(file, top / file.path.relative_to("/"), fetch) for file in self.files
            )
        place = top / self.path.relative_to("/")
        place.mkdir(parents=True, exist_ok=True)
        return place, n_bytes


def describe_folder(reads: Iterable[Path], node: str) -> ProjectFolder:
    """Return the folder of this process, and the files of the files and folders in `reads`.

    `node` is Ray's name of this machine.
    """
    path = Path.cwd()
    mark = path / cache_folder() / MARKS / uuid4().hex
    write_text(mark, "")
    remove_unused(mark, MAX_MARKS)
    copy = hashlib.sha256(f"{socket.gethostname()} {path}".encode()).hexdigest()[:16]
    places = [read.absolute() for read in reads]
    files = tuple(_describe(file) for place in places for file in _below(place))
    folders = tuple(place for place in places if place.is_dir())
    return ProjectFolder(path, mark, files, folders, copy, node)


def _below(path: Path) -> Sequence[Path]:
    """Return the files of a folder, or the file."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _describe(file: Path) -> SourceFile:
    found = file.stat()
    return SourceFile(file, found.st_size, found.st_mtime_ns)


def _copy(source: SourceFile, target: Path, fetch: Fetch) -> int:
    """Copy a file from another machine, unless it is here already; return how many bytes."""
    if target.exists() and _describe(target) == SourceFile(target, source.size, source.changed):
        return 0
    with atomic_file(target) as written:
        with written.open("wb") as file:
            for start in range(0, source.size, PART):
                file.write(fetch(source.path, start))
        if written.stat().st_size != source.size:
            raise InputError(f"{source.path} changed while it was copied: run again")
        os.utime(written, ns=(source.changed, source.changed))
    return source.size


def read_part(path: Path, start: int) -> bytes:
    """Return PART bytes of a file, or what is left; raises InputError where it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(PART)
    except FileNotFoundError:
        raise InputError(
            f"{path} is not on {socket.gethostname()}: start the run on a machine of the cluster, "
            "or share the project's folder with all of them"
        ) from None
