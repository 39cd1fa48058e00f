"""Tables in an object store such as S3: fetched before they are read, sent when they are whole.

An address is a URL that Arrow knows: s3://, gs:// or abfs://. Keys and regions come from where the
store's own tools take them, such as the environment.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from filelock import FileLock, Timeout
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from stages.common.cache import cache_folder
from stages.common.errors import InputError, without_secrets
from stages.common.files import LOCK, atomic_file

FOLDER = "predict"  # of the cache
NO_STORES = ("http", "https", "ftp", "sftp")  # schemes that people try
PIECE = 2**20  # bytes that are copied at a time
RETRY_S = 60  # that Google's store is asked again; Arrow would take a quarter of an hour


@contextmanager
def local_files(table: str, output: str, overwrite: bool) -> Iterator[tuple[Path, Path]]:
    """Give the files on this machine that stand for a table and an output; either may be a URL.

    The output is sent when the block ends without an error. What was fetched stays until then, so
    that a run that was killed goes on. Raises InputError where the table is not there, where the
    output is and is not to be replaced, where the store does not answer as it should, and while
    another process does the same.
    """
    if not is_remote(table) and not is_remote(output):
        yield Path(table), Path(output)
        return
    name = hashlib.sha256(f"{table} {output}".encode()).hexdigest()[:16]
    folder = cache_folder() / FOLDER / name
    source, target = Path(table), Path(output)
    if is_remote(output):
        store, path = _open(output)
        with _explained(output, "written"):
            is_there = store.get_file_info(path).type != FileType.NotFound
        if is_there and not overwrite:
            raise InputError(
                f"{without_secrets(output)} is there already: add --overwrite to replace it, or "
                "name another"
            )
        target = folder / "output" / Path(path).name
    with _alone_in(folder):
        if is_remote(output):
            target.unlink(missing_ok=True)  # of a run that could not send it
        if is_remote(table):
            source = _fetch(table, folder / "table")
        yield source, target
        if is_remote(output):
            _send(target, output)
        shutil.rmtree(folder)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder; remove it where nothing was put there."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            try:
                yield
            finally:
                if folder.exists() and [file.name for file in folder.iterdir()] == [LOCK]:
                    shutil.rmtree(folder)
    except Timeout:
        raise InputError(f"another run works in {folder}: wait for it, or end it") from None


def is_remote(text: str) -> bool:
    """Return whether a text is a URL, and no path."""
    return "://" in text


def without_query(text: str) -> str:
    """Return a URL without its query, which is no part of the file's name; a path as it is."""
    return text.partition("?")[0] if is_remote(text) else text


def _open(url: str) -> tuple[FileSystem, str]:
    """Return the store of a URL, and the path in it."""
    scheme, _, rest = url.partition("://")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if ":" in user or (at and scheme == "s3"):  # abfs:// has a container there
        raise InputError(f"a URL of {scheme}:// has a user or password in it: leave them out")
    if scheme.lower() in NO_STORES:
        raise InputError(
            f"{without_secrets(url)} is at no object store (s3://, gs:// or abfs://): download the "
            "table, or write to a file, and name that"
        )
    limit = f"?retry_limit_seconds={RETRY_S}" if scheme == "gs" and "?" not in rest else ""
    with _explained(url, "reached"):
        return FileSystem.from_uri(url + limit)


def _fetch(url: str, folder: Path) -> Path:
    """Copy a table, or a folder of tables, to `folder`; what has not changed since stays."""
    store, path = _open(url)
    with _explained(url, "read"):
        info = store.get_file_info(path)
        if info.type == FileType.NotFound:
            raise InputError(
                f"{without_secrets(url)} is not there: name the table of products to predict for"
            )
        top = folder / Path(path).name
        files = [info]
        if info.type == FileType.Directory:
            found = store.get_file_info(FileSelector(path, recursive=True))
            files = [one for one in found if one.type == FileType.File]
        copies = {top / Path(one.path).relative_to(info.path): one for one in files}
        for stale in [one for one in folder.rglob("*") if one.is_file() and one not in copies]:
            stale.unlink()
        for copy, one in copies.items():
            _copy(store, one, copy)
    return top


def _copy(store: FileSystem, info: FileInfo, target: Path) -> None:
    """Copy a file of a store, with the time of its last change, by which a run knows it."""
    if target.exists():
        found = target.stat()
        if (found.st_size, found.st_mtime_ns) == (info.size, info.mtime_ns):
            return
    with atomic_file(target) as part:
        with store.open_input_stream(info.path) as read, part.open("wb") as written:
            shutil.copyfileobj(read, written, PIECE)
        os.utime(part, ns=(info.mtime_ns, info.mtime_ns))


def _send(file: Path, url: str) -> None:
    """Copy a file into a store, where it appears when it is whole."""
    store, path = _open(url)
    part = f"{path}.part"  # a stream that is broken off leaves what it has
    try:
        with _explained(url, "written"):
            with file.open("rb") as read, store.open_output_stream(part) as written:
                shutil.copyfileobj(read, written, PIECE)
            store.move(part, path)
    except InputError as error:
        raise InputError(f"{error}. The predictions are in {file}: copy them from there") from None


@contextmanager
def _explained(url: str, done: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = without_secrets(" ".join(str(error).split()))
        raise InputError(
            f"{without_secrets(url)} cannot be {done} ({reason}): see its name, and that the "
            "environment has the keys of the store"
        ) from None
