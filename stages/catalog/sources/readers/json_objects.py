"""JSON and JSON Lines."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stages.catalog.sources.readers.columns import check_columns
from stages.catalog.sources.readers.rows import Row, RowError
from stages.common.errors import InputError
from stages.common.file_content import open_text


def read_json(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the objects of an array, of the only array in an object, or of what pandas writes."""
    with open_text(path) as file:
        text = file.read()
    try:
        content = _loads(text)
    except (ValueError, RecursionError) as error:
        hint = "; if each line is an object, name the file .jsonl" if "Extra" in str(error) else ""
        raise InputError(f"{path} is no JSON: {error}{hint}") from None
    objects = _records(path, content, columns)
    yield from _checked(path, [_row(i, item) for i, item in enumerate(objects, start=1)], columns)


def read_json_lines(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yield one object per line."""
    rows: list[Row] = []
    with open_text(path) as file:
        for line, text in enumerate(file, start=1):
            if text.strip():
                number = len(rows) + 1
                try:
                    rows.append(_row(number, _loads(text), line))
                except (ValueError, RecursionError) as error:
                    fault = RowError(f"is no JSON: {error}", "write one object per line")
                    rows.append(Row(number, line=line, fault=fault))
    yield from _checked(path, rows, columns)


def _loads(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError where an object has a key twice."""
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found


def _row(number: int, value: Any, line: int | None = None) -> Row:
    """Return an object as a row, anything else as a row with a fault."""
    if isinstance(value, dict):
        return Row(number, value, line)
    fault = RowError(f"is no object but a {type(value).__name__}", "write one object per product")
    return Row(number, line=line, fault=fault)


def _checked(path: Path, rows: list[Row], columns: Sequence[str]) -> Iterator[Row]:
    """Check that the objects have the columns. An object may lack some of the keys."""
    if any(row.fault is None for row in rows):
        check_columns(path, dict.fromkeys(key for row in rows for key in row.cells), columns)
    yield from rows


def _records(path: Path, content: Any, columns: Sequence[str]) -> list[Any]:
    """Return the rows of a JSON file: the forms are those of `DataFrame.to_json`, and one key."""
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise InputError(f"{path} is no array of objects but a {type(content).__name__}")
    header, data = content.get("columns"), content.get("data")
    if isinstance(header, list) and isinstance(data, list):
        return _split(path, header, data, columns)
    if all(isinstance(content.get(name), dict | list) for name in columns):
        return _columns(path, content, columns)
    arrays = {key: value for key, value in content.items() if isinstance(value, list)}
    tables = [key for key, rows in arrays.items() if any(isinstance(row, dict) for row in rows)]
    tables = tables or [key for key, rows in arrays.items() if not rows]
    if len(tables) == 1:
        return content[tables[0]]
    rows = list(content.values())
    if rows and all(isinstance(row, dict) and not row.keys().isdisjoint(columns) for row in rows):
        return rows
    keys = ", ".join(map(repr, tables or content)) or "none"
    raise InputError(
        f"{path} is no array of objects but an object with "
        f"{'several: ' if tables else 'the keys '}{keys}. Save the products as one array of "
        f"objects, or correct the names under data.table (wanted: {', '.join(columns)})"
    )


def _split(path: Path, header: list[Any], data: list[Any], columns: Sequence[str]) -> list[Any]:
    """Return the rows of {"columns": [...], "data": [[...], ...]}."""
    check_columns(path, header, columns)
    for number, cells in enumerate(data, start=1):
        if not isinstance(cells, list) or len(cells) != len(header):
            raise InputError(f"{path}, row {number} is no array of {len(header)} cells")
    return [dict(zip(header, cells, strict=True)) for cells in data]


def _columns(path: Path, content: dict[str, Any], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of {"sku": {"0": ..., "1": ...}, ...} or {"sku": [..., ...], ...}."""
    cells = {
        name: values if isinstance(values, dict) else dict(enumerate(values))
        for name, values in content.items()
        if name in columns
    }
    first, index = next(iter(cells.items()))
    for name, values in cells.items():
        if values.keys() != index.keys():
            raise InputError(f"{path}: the columns {first!r} and {name!r} have different rows")
    return [{name: values[key] for name, values in cells.items()} for key in index]
