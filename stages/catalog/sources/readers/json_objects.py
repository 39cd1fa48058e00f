"""JSON and JSON Lines."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.catalog.sources.readers.columns import check_columns
from stages.common.errors import InputError


def read_json(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of an array."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig", errors="surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from None
    if not isinstance(rows, list):
        raise InputError(f"{path} is no array of objects but a {type(rows).__name__}")
    yield from _objects(path, rows, columns)


def read_json_lines(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield one object per line."""
    rows = []
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except (ValueError, RecursionError) as error:
                    raise InputError(f"{path}, line {number} is no JSON: {error}") from None
    yield from _objects(path, rows, columns)


def _objects(path: Path, rows: list[Any], columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Check that rows are objects that have the columns. An object may lack some of the keys."""
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{path}, row {number} is no object but a {type(row).__name__}")
    if rows:
        check_columns(path, dict.fromkeys(key for row in rows for key in row), columns)
    yield from rows
