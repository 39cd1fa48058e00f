"""Files that are either whole or absent: written beside their place, then renamed into it."""

import csv
import errno
import glob
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stages.common.errors import InputError

LOCK = ".lock"
# What desktops leave in a folder that is opened, as in .dvcignore.
DESKTOP_FILES = {".DS_Store", "Thumbs.db", "desktop.ini"}


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` only if the block ends without an error.

    Several processes may do so at once: the last one's stays. What a killed one left is removed.
    """
    with _temporary_folder(path) as folder:
        part = folder / path.name
        yield part
        part.replace(path)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to write into, which becomes `path` if the block ends without an error.

    A folder that was at `path` before is replaced; what a killed run left beside it is removed.
    Several processes may do so at once: the last one's stays. Where `path` is a link, such as to
    another disk, the folder that it leads to is replaced. Raises InputError where something is
    mounted there, which then stays as it is: before the block where that can be seen.
    """
    path = path.resolve()
    if os.path.ismount(path):  # unlike Path.is_mount, also while another process replaces it
        raise _is_mounted(path)
    with _temporary_folder(path) as folder:
        part = folder / path.name
        part.mkdir()
        yield part
        while True:
            # The old one is moved, for to remove it takes longer, and a kill would leave neither.
            if path.is_dir():
                with suppress(FileNotFoundError), _said_where_mounted(path):
                    path.replace(Path(tempfile.mkdtemp(dir=folder)) / path.name)
            try:
                part.replace(path)
                break
            except OSError as error:  # another process has put its own there meanwhile
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise


def _is_mounted(path: Path) -> InputError:
    return InputError(
        f"{path} is written as a new folder in place of the old one, and cannot be, as something "
        "is mounted there, such as a volume: mount the folder above it"
    )


@contextmanager
def _said_where_mounted(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise _is_mounted(path) from None
        raise


@contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    """Give a folder beside `path`, of this process alone, which is removed in the end.

    A lock is held meanwhile: a folder without one was left by a process that was killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, glob.escape(path.name))
    folder = Path(tempfile.mkdtemp(".part", f".{path.name}.", path.parent))
    lock = FileLock(folder / LOCK)
    try:
        while not lock.is_locked:
            # Until it is locked, another process may take it for what a killed one left.
            with suppress(FileNotFoundError, FileExistsError):
                folder.mkdir(mode=0o700, exist_ok=True)
                lock.acquire()
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove what killed processes left in a folder beside the files and folders of a name."""
    for leftover in folder.glob(f".{name}.*.part"):
        with suppress(Timeout, OSError), FileLock(leftover / LOCK, timeout=0):
            shutil.rmtree(leftover, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with the line ends that it has."""
    with atomic_file(path) as part:
        part.write_bytes(text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, its keys in the order in which they were put."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read what a stage wrote; raise InputError where it is missing or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path} is not there: `dvc repro` builds it") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}): `dvc repro -f` rebuilds it") from None


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a header and `rows` as CSV; each row has a value for each of `columns`."""
    lines = [_csv_line(columns), *(_csv_line([row[name] for name in columns]) for row in rows)]
    write_text(path, "".join(lines))


def _csv_line(cells: Sequence[Any]) -> str:
    r"""Return cells as a line. Python 3.11 quotes a cell only for the line ends that it writes.

    So the line is written with "\r\n", for a cell may have either.
    """
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_hash(*parts: Any) -> str:
    """Return the SHA-256 of values as JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def md5_of(path: Path) -> str:
    """Return the MD5 of a file's bytes as 32 hexadecimal digits, as dvc.lock has it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
