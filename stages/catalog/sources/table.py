"""Your own table: CSV, TSV, JSON, JSON Lines or Parquet, with its columns named in params.yaml.

Everything is read as text. CSV goes through Python's own reader: unlike those of pandas and Arrow,
it refuses stray quotes, never guesses a type, and knows the line number.
"""

import csv
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.catalog.image_cells import read_image_cell
from stages.catalog.settings import TableSettings
from stages.catalog.sources.product import RawProduct
from stages.common.errors import InputError

Row = Mapping[str, Any]


def read(settings: TableSettings, folder: Path) -> Iterator[RawProduct]:
    """Yield the products of the table at `settings.path` in `folder`, in their order.

    Raises InputError where the path is outside the folder, is not there or has an unknown ending,
    where a column is missing, and where a row cannot be read. Rows are counted from 1, without the
    header.
    """
    path = _path_in(folder, settings.path)
    named = settings.model_dump(exclude={"path", "archive"}).values()
    columns = [name for name in dict.fromkeys(named) if name is not None]
    for number, row in enumerate(_READERS[path.suffix.lower()](path, columns), start=1):
        text: dict[str | None, str | None] = {None: None}  # for a column that the table lacks
        for name in columns:
            text[name] = _text(row.get(name), f"{path}, row {number}, {name}")
        yield RawProduct(
            sku=text[settings.sku],
            name=text[settings.name],
            description=text[settings.description],
            manufacturer=text[settings.manufacturer],
            label=text[settings.label],
            image=_image(settings, text),
        )


def _path_in(folder: Path, name: str) -> Path:
    """Return the path of the table, which must be in `folder` and in a known format."""
    path = folder / name
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise InputError(f"data.table.path is {name!r}, which is not in data.folder ({folder})")
    if path.suffix.lower() not in _READERS:
        raise InputError(f"data.table.path is {name!r}: it has to end in {', '.join(_READERS)}")
    if not path.is_file():
        raise InputError(f"{path} is not there: put your table there or correct data.table.path")
    return path


def _image(settings: TableSettings, text: Mapping[str | None, str | None]) -> str | None:
    """Return where a product's images are, as the texts of ImageRefs, one a line."""
    if settings.image_path is None:
        return read_image_cell(text[settings.image_url], "url")
    return read_image_cell(text[settings.image_path], "archive" if settings.archive else "file")


def _text(value: Any, where: str) -> str | None:
    """Return a cell as text: 123 and 123.0 as "123", a missing number as None."""
    match value:
        case None | str():
            text = value
        case bool():
            text = str(value).lower()
        case int():
            text = str(value)
        case float():  # what pandas makes of a column of whole numbers with gaps in it
            text = str(int(value)) if value.is_integer() else str(value)
            text = None if math.isnan(value) else text
        case Decimal():
            text = f"{value.normalize():f}"
        case _:
            raise InputError(f"{where}: a {type(value).__name__} cannot be read as text")
    if text and not _is_unicode(text):
        raise InputError(f"{where} is not UTF-8: save the file as UTF-8")
    return text


def _is_unicode(text: str) -> bool:
    """Return whether all bytes of `text` could be decoded."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _check_unicode(cells: pa.Array, where: str) -> None:
    """Raise InputError where a cell is not UTF-8, which Parquet allows."""
    try:
        cells.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InputError(f"{where}: {error}: save the text as UTF-8") from None


def _check_columns(path: Path, found: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise InputError where a column is missing, or where two have its name."""
    found = list(found)
    for name in wanted:
        if name not in found:
            raise InputError(
                f"{path} has no column {name!r}; it has {', '.join(map(repr, found)) or 'none'}: "
                f"correct the names under data.table"
                + ("; a .csv has commas between its cells" if len(found) == 1 else "")
            )
        if found.count(name) > 1:
            raise InputError(f"{path} has {found.count(name)} columns {name!r}: rename one")


def _read_delimited(delimiter: str) -> Callable[[Path, list[str]], Iterator[Row]]:
    """Return a reader of CSV with that delimiter."""

    def read_rows(path: Path, columns: list[str]) -> Iterator[Row]:
        number, line = 0, 1  # row 0 is the header
        # Keep bytes that are not UTF-8, so that the error can name their row.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            csv.field_size_limit(sys.maxsize)  # or a description of more than 128 KiB is refused
            lines = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                header = next(lines, [])
                if not _is_unicode("".join(header)):
                    raise InputError(f"{path}, header is not UTF-8: save the file as UTF-8")
                _check_columns(path, header, columns)
                number, line = 1, lines.line_num + 1
                for cells in lines:
                    if cells:  # a blank line has none
                        if len(cells) != len(header):
                            raise csv.Error(f"{len(cells)} cells for {len(header)} columns")
                        yield dict(zip(header, cells, strict=True))
                        number += 1
                    line = lines.line_num + 1
            except csv.Error as error:
                raise InputError(
                    f"{path}, row {number} (line {line}): {error}; a cell with a "
                    f"delimiter, quote or line break has to be in quotes, its own quotes doubled"
                ) from None

    return read_rows


def _read_json(path: Path, columns: list[str]) -> Iterator[Row]:
    """Read an array of objects."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig", errors="surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from None
    if not isinstance(rows, list):
        raise InputError(f"{path} is no array of objects but a {type(rows).__name__}")
    yield from _objects(path, rows, columns)


def _read_json_lines(path: Path, columns: list[str]) -> Iterator[Row]:
    """Read one object per line."""
    rows = []
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except (ValueError, RecursionError) as error:
                    raise InputError(f"{path}, line {number} is no JSON: {error}") from None
    yield from _objects(path, rows, columns)


def _objects(path: Path, rows: list[Any], columns: list[str]) -> Iterator[Row]:
    """Check that rows are objects that have the columns. An object may lack some of the keys."""
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{path}, row {number} is no object but a {type(row).__name__}")
    if rows:
        _check_columns(path, dict.fromkeys(key for row in rows for key in row), columns)
    yield from rows


def _read_parquet(path: Path, columns: list[str]) -> Iterator[Row]:
    """Read the columns of a Parquet file, a batch of rows at a time."""
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names, columns)
            first = 1
            for batch in file.iter_batches(batch_size=8192, columns=columns):
                for name, cells in zip(batch.schema.names, batch.columns, strict=True):
                    _check_unicode(cells, f"{path}, rows from {first:,}, {name}")
                yield from batch.to_pylist()
                first += len(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from None


_READERS: dict[str, Callable[[Path, list[str]], Iterator[Row]]] = {
    ".csv": _read_delimited(","),
    ".tsv": _read_delimited("\t"),
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
}
