"""A key-value store in a SQLite file that outlives a run: for what is expensive to get again.

The file is no output of a stage, because DVC removes the outputs before a stage runs. It may be
deleted at any time: then it is got again, which takes time, and money where it was paid for.
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
OLDEST = "SELECT key, at FROM uses ORDER BY at LIMIT ?"
SPARE = 0.05  # share of the limit that is freed at once, so that not every new row deletes one


class SqliteCache:
    """A mapping of strings to bytes in a file, which several processes may use at once.

    What `put_many` has written stays if the process is killed at any moment. A damaged file is
    renamed to `<name>.damaged` with a warning, and a new one is started. Use the store as a
    context manager, in one thread.
    """

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        """Take the path of the file, which is created when the block is entered.

        Once it holds more than `max_bytes`, the rows that were used longest ago are deleted.
        """
        self.forgotten = 0  # rows that were deleted although they were used since this was opened
        self._path = path
        self._max_bytes = max_bytes
        self._opened_at = time.time()
        self._db: sqlite3.Connection
        self._inode: int

    def __enter__(self) -> Self:
        """Open the file. Raises InputError if that is not possible."""
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
        """Return the rows of those `keys` that the store has, in no particular order.

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
                self._start_again(error)
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
                self._start_again(error)
                self._write(entries)

    def _write(self, entries: list[tuple[str, bytes, int]]) -> None:
        with self._db:
            self._db.executemany(PUT, entries)
            if self._max_bytes is not None:
                used = json.dumps([key for key, *_ in entries])
                self._db.execute(USE, (time.time(), used))
                self._evict(self._max_bytes)

    def _evict(self, max_bytes: int) -> None:
        """Delete the rows used longest ago if the file holds more than `max_bytes` bytes."""
        pages, free, page_bytes = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        held = (pages - free) * page_bytes
        if held <= max_bytes:
            return
        rows = self._db.execute("SELECT count(*) FROM uses").fetchone()[0]
        share = 1 - (1 - SPARE) * max_bytes / held
        oldest = self._db.execute(OLDEST, (math.ceil(share * rows),)).fetchall()
        self.forgotten += sum(at >= self._opened_at for _, at in oldest)
        for table in ("rows", "uses"):
            self._db.executemany(
                f"DELETE FROM {table} WHERE key = ?", [(key,) for key, _ in oldest]
            )

    def _open(self) -> None:
        """Connect, replacing a damaged file first."""
        with FileLock(self._sibling(".lock")):
            try:
                self._db = self._connected()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._rename_damaged(error)
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

    def _start_again(self, error: sqlite3.DatabaseError) -> None:
        """Replace a file that turned out to be damaged; raise any other error again."""
        if not _is_damage(error):
            raise error
        self._db.close()
        with FileLock(self._sibling(".lock")):
            # Another process may have replaced it already, or somebody may have deleted it.
            if self._path.exists() and self._path.stat().st_ino == self._inode:
                self._rename_damaged(error)
        self._open()

    def _rename_damaged(self, error: sqlite3.DatabaseError) -> None:
        damaged = self._sibling(".damaged")
        for suffix in ("-wal", "-shm"):
            self._sibling(suffix).unlink(missing_ok=True)
        self._path.replace(damaged)
        warnings.warn(
            f"{self._path} is damaged ({error}): a new file replaces it, and the old one is now "
            f"{damaged.name}",
            stacklevel=2,
        )

    def _sibling(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise InputError(
                f"{self._path} cannot be used ({error}): see that there is space and that you may "
                "write there, or delete it: what it held is then computed, or paid for, again"
            ) from error


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Say whether the file is no sound database, rather than busy, read-only or without space."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE
