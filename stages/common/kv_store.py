"""Rows of bytes by key, in a SQLite file that outlives a run: what was dear to get is kept here.

The file is no output of a stage, for DVC removes a stage's outputs before it runs. It may be
deleted at any time, which costs time and nothing else.
"""

import json
import math
import sqlite3
import time
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock

from stages.common.errors import InputError

BUSY_S = 60  # how long one process waits for another's transaction
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

CREATE = "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER)"
GET = "SELECT key, value, crc FROM rows WHERE key IN (SELECT value FROM json_each(?))"
PUT = "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)"

# When rows were last used, beside them: a change there would rewrite a row's whole value.
CREATE_USES = "CREATE TABLE IF NOT EXISTS uses (key TEXT PRIMARY KEY, at REAL) WITHOUT ROWID"
USE = (
    "INSERT OR REPLACE INTO uses "
    "SELECT key, ? FROM rows WHERE key IN (SELECT value FROM json_each(?))"
)
OLDEST = "SELECT key FROM uses ORDER BY at LIMIT ?"
SPARE = 0.05  # how far below its limit a store is brought, lest every row that comes moves another


class SqliteCache:
    """A mapping of strings to bytes in a file, which several processes may use at once.

    What `put_many` has written stays if the process is killed at any moment. A file that turns out
    to be damaged is set aside as `<name>.damaged` with a warning, and begun anew. Use it as a
    context manager, in one thread.
    """

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        """Take the file, which is created with its folder when the block is entered.

        Once it holds more than `max_bytes`, the rows go that were put or asked for longest ago.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._db: sqlite3.Connection
        self._inode: int

    def __enter__(self) -> Self:
        """Open the file. Raises InputError where that is not possible."""
        with self._explained():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._db.close()

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the rows that are there among `keys`, in no particular order.

        Raises InputError where the file cannot be read.
        """
        asked = json.dumps(list(keys))
        with self._explained():
            try:
                rows = self._db.execute(GET, (asked,)).fetchall()
                if self._max_bytes is not None:
                    with self._db:
                        self._db.execute(USE, (time.time(), asked))
            except sqlite3.DatabaseError as error:
                self._begin_anew(error)
                return {}
        # SQLite does not notice changed bytes inside a value: such a row counts as absent.
        return {key: value for key, value, crc in rows if zlib.crc32(value) == crc}

    def put_many(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Write rows in one transaction: all or none. A row replaces an earlier one of its key.

        Raises InputError where the file cannot be written, such as on a full disk.
        """
        entries = [(key, value, zlib.crc32(value)) for key, value in rows]
        with self._explained():
            try:
                self._write(entries)
            except sqlite3.DatabaseError as error:
                self._begin_anew(error)
                self._write(entries)

    def _write(self, entries: list[tuple[str, bytes, int]]) -> None:
        with self._db:
            self._db.executemany(PUT, entries)
            if self._max_bytes is not None:
                used = json.dumps([key for key, *_ in entries])
                self._db.execute(USE, (time.time(), used))
                self._make_room(self._max_bytes)

    def _make_room(self, most: int) -> None:
        """Delete the rows used longest ago if the file holds more than `most` bytes."""
        pages, free, page_bytes = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        held = (pages - free) * page_bytes
        if held <= most:
            return
        rows = self._db.execute("SELECT count(*) FROM uses").fetchone()[0]
        share = 1 - (1 - SPARE) * most / held
        oldest = self._db.execute(OLDEST, (math.ceil(share * rows),)).fetchall()
        for table in ("rows", "uses"):
            self._db.executemany(f"DELETE FROM {table} WHERE key = ?", oldest)

    def _open(self) -> None:
        """Connect, setting a damaged file aside first."""
        with FileLock(self._beside(".lock")):
            try:
                self._db = self._connected()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._set_aside(error)
                self._db = self._connected()
            self._inode = self._path.stat().st_ino

    def _connected(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=BUSY_S)
        try:
            db.execute("PRAGMA auto_vacuum = FULL")  # the file shrinks when rows are deleted
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")  # outlives the process; no fsync per write
            db.execute(CREATE)
            db.execute(CREATE_USES)
            db.execute(GET, ("[]",)).fetchall()
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def _begin_anew(self, error: sqlite3.DatabaseError) -> None:
        """Go on after damage that was met while the file was open; raise any other error again."""
        if not _is_damage(error):
            raise error
        self._db.close()
        with FileLock(self._beside(".lock")):
            # Another process may have begun anew already, or somebody may have deleted the file.
            if self._path.exists() and self._path.stat().st_ino == self._inode:
                self._set_aside(error)
        self._open()

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        damaged = self._beside(".damaged")
        for suffix in ("-wal", "-shm"):
            self._beside(suffix).unlink(missing_ok=True)
        self._path.replace(damaged)
        warnings.warn(
            f"{self._path} is damaged ({error}): begun anew, the old one is {damaged.name}",
            stacklevel=2,
        )

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise InputError(
                f"{self._path} cannot be used ({error}): see that there is space and that you may "
                "write there, or delete it, which costs time only"
            ) from error


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Say whether the file is no sound database, rather than busy, read-only or without space."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE
