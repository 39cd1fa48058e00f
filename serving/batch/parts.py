"""The parts of an output that is being written, which a run that was killed leaves to the next."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from serving.batch.output import SCHEMA
from stages.common.errors import InputError
from stages.common.files import DESKTOP_FILES, LOCK, write_json
from stages.common.tables import write_table

RUN_FILE = "run.json"
PREDICTED_FILE = "predicted"
# What a run leaves, also one that was killed while it wrote.
_OWN = re.compile(
    rf"\..*|{re.escape(RUN_FILE)}|{PREDICTED_FILE}|\d+\.parquet|unpacked(\.sqlite.*)?"
)


class Parts:
    """Tables in a folder, 00001.parquet and so on, each whole or absent."""

    def __init__(self, folder: Path) -> None:
        """Take the parts that are in `folder`; what follows one that is damaged is removed."""
        self._folder = folder
        self.n_rows = 0
        self.n_parts = 0
        while (rows := _count_rows(self._file(self.n_parts + 1))) is not None:
            self.n_parts += 1
            self.n_rows += rows
        for file in folder.glob("*.parquet"):
            if file.stem.isdecimal() and int(file.stem) > self.n_parts:
                file.unlink()

    @property
    def scratch(self) -> Path:
        """Return the file for the images of an archive."""
        return self._folder / "unpacked.sqlite"

    @property
    def all_unpacked(self) -> Path:
        """Return the file that is there once the images of the archive all are."""
        return self._folder / "unpacked"

    def finish(self) -> None:
        """Note that all rows have a prediction: an output that is there from now on is theirs."""
        (self._folder / PREDICTED_FILE).touch()

    def add(self, table: pa.Table) -> None:
        """Write the next part."""
        write_table(self._file(self.n_parts + 1), table)
        self.n_parts += 1
        self.n_rows += len(table)

    def tables(self) -> Iterator[pa.Table]:
        """Yield the parts in their order."""
        for number in range(1, self.n_parts + 1):
            with pq.ParquetFile(self._file(number)) as part:
                yield part.read(use_threads=False)  # threads would each keep memory

    def remove(self) -> None:
        """Remove the folder: the output is there."""
        shutil.rmtree(self._folder)
        self.n_rows = self.n_parts = 0

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:05}.parquet"


def _count_rows(file: Path) -> int | None:
    """Return how many rows a part has, None where there is no such part, or none to be read."""
    try:
        with pq.ParquetFile(file) as part:
            is_whole = part.schema_arrow.equals(SCHEMA) and part.metadata.num_rows > 0
            return part.metadata.num_rows if is_whole else None
    except (OSError, pa.ArrowException):
        return None


def folder_of(output: Path) -> Path:
    """Return the folder of an output's parts."""
    return output.with_name(f"{output.name}.parts")


@contextmanager
def open_parts(folder: Path, run: Mapping[str, Any], restart: bool) -> Iterator[tuple[Parts, str]]:
    """Give the parts of an earlier run that was asked for the same, or none; and a word on them.

    `run` says what is asked for, by its name in a message. `restart` removes the parts. Raises
    InputError while another process writes there, and where something else is in the folder.
    """
    _check_own(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            said = _prepare(folder, json.loads(json.dumps(run)), restart)
            parts = Parts(folder)
            if parts.n_rows:
                said = f"goes on after {parts.n_rows:,} rows that an earlier run left in {folder}"
            try:
                yield parts, said
            finally:
                if not parts.n_rows:
                    shutil.rmtree(folder, ignore_errors=True)
    except Timeout:
        raise InputError(f"another run writes to {folder}: wait for it, or end it") from None


def is_predicted(folder: Path, run: Mapping[str, Any]) -> bool:
    """Return whether a folder holds all parts of a run that was asked for the same."""
    is_same = _read_run(folder) == json.loads(json.dumps(run))
    return is_same and (folder / PREDICTED_FILE).is_file()


def _check_own(folder: Path) -> None:
    """Raise InputError unless all that is at `folder` is a run's: it will be removed."""
    found = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    other = [name for name in found if not _OWN.fullmatch(name) and name not in DESKTOP_FILES]
    if other or (folder.exists() and not folder.is_dir()):
        raise InputError(
            f"{folder / other[0] if other else folder} is no part of an output, whose parts are "
            f"kept in {folder} meanwhile: move it, or name another output"
        )


def _prepare(folder: Path, run: dict[str, Any], restart: bool) -> str:
    """Remove the parts of a run that was asked for something else; return a word on it."""
    earlier = _read_run(folder)
    if earlier == run and not restart:
        return ""
    for file in folder.iterdir():
        if file.is_dir():  # what a killed run was writing
            shutil.rmtree(file)
        elif file.name != LOCK:
            file.unlink()
    write_json(folder / RUN_FILE, run)
    if earlier is None:
        return ""
    changed = [name for name in run if earlier.get(name) != run[name]]
    why = f"another {', another '.join(changed)}" if changed else "--restart"
    return f"starts over: the parts of an earlier run in {folder} are removed ({why})"


def _read_run(folder: Path) -> dict[str, Any] | None:
    try:
        return json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
