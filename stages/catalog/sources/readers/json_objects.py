"""JSON and JSON Lines."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.catalog.sources.readers.columns import check_columns
from stages.catalog.sources.readers.rows import Row, RowError, listed, with_inner
from stages.common.errors import InputError
from stages.common.file_content import open_text

_DEPTH = 8  # objects within objects whose keys are known


def read_json(path: Path, columns: Sequence[str], encoding: str | None = None) -> Iterator[Row]:
    """Yield the objects of an array, of the only array in an object, or of what pandas writes."""
    objects = _records(path, _content(path, encoding), columns)
    rows = [_row(i, item, columns) for i, item in enumerate(objects, start=1)]
    _check_keys(path, rows, columns)
    yield from rows


def json_columns(path: Path, wanted: Sequence[str], encoding: str | None = None) -> list[str]:
    """Return what may be the columns of a JSON file.

    These are the keys of the objects of an array. Of an object, which may have a column or a row
    under each of its keys, these are its keys and those of the objects in it.
    """
    content = _content(path, encoding)
    if not isinstance(content, dict):
        return _keys(content if isinstance(content, list) else [])
    header = content.get("columns")
    parts = (part for value in content.values() for part in listed(value))
    names = [*(header if isinstance(header, list) else []), *content, *_keys(parts)]
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def _keys(objects: Iterable[Any]) -> list[str]:
    """Return the names of what is in those that are objects, each once."""
    return list(
        dict.fromkeys(name for one in objects if isinstance(one, dict) for name in _names(one))
    )


def _names(value: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of an object, and `a.b` for those of an object or of a list of them in it."""
    inner: list[tuple[str, Mapping[str, Any]]] = [("", value)]
    for prefix, one in inner:
        for key, cell in one.items():
            is_plain = "." not in key
            if is_plain or not prefix:
                yield prefix + key
            if is_plain and prefix.count(".") < _DEPTH:
                inner += ((f"{prefix}{key}.", one) for one in listed(cell) if isinstance(one, dict))


def _content(path: Path, encoding: str | None) -> Any:
    with open_text(path, encoding=encoding) as file:
        text = file.read()
    try:
        return _loads(text)
    except (ValueError, RecursionError) as error:
        hint = "; if each line is an object, name the file .jsonl" if "Extra" in str(error) else ""
        raise InputError(f"{path} is no JSON: {error}{hint}") from None


def read_json_lines(
    path: Path, columns: Sequence[str], encoding: str | None = None
) -> Iterator[Row]:
    """Yield one object per line, which may lack some of the keys, as may the file.

    `check_json_lines` says whether a table has them.
    """
    number = 0
    with open_text(path, encoding=encoding) as file:
        for line, text in enumerate(file, start=1):
            if text.strip():
                number += 1
                try:
                    yield _row(number, _loads(text), columns, line)
                except (ValueError, RecursionError) as error:
                    fault = RowError(f"is no JSON: {error}", "write one object per line")
                    yield Row(number, line=line, fault=fault)


def check_json_lines(
    table: Path, files: Sequence[Path], columns: Sequence[str], encoding: str | None = None
) -> None:
    """Raise InputError where no object of a table's files has a column, if there is any object."""
    rows = (row for file in files for row in read_json_lines(file, columns, encoding))
    _check_keys(table, rows, columns)


def json_lines_columns(path: Path, wanted: Sequence[str], encoding: str | None = None) -> list[str]:
    """Return the keys of the objects of a file with one object per line."""
    return _keys(row.cells for row in read_json_lines(path, (), encoding))


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


def _row(number: int, value: Any, columns: Sequence[str], line: int | None = None) -> Row:
    """Return an object as a row, anything else as a row with a fault."""
    if isinstance(value, dict):
        return Row(number, with_inner(value, columns), line)
    fault = RowError(f"is no object but a {type(value).__name__}", "write one object per product")
    return Row(number, line=line, fault=fault)


def _check_keys(path: Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Raise InputError where no object has a column, if there is any. One may lack some keys."""
    found: dict[str, None] = {}
    is_any = False
    for row in rows:
        found.update(dict.fromkeys(_names(row.cells)))
        is_any |= row.fault is None
    if is_any:
        check_columns(path, found, columns)


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
