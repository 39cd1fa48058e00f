"""Parquet."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.catalog.sources.readers.columns import check_columns
from stages.catalog.sources.readers.rows import Row, RowError, with_inner
from stages.common.errors import InputError
from stages.common.file_content import open_bytes

_BATCH = 8192
_FLOAT32_EXACT = 2.0**23  # from which on a float of 32 bits is a whole number
_BUFFER = 1 << 16  # bytes of a column that are read at once
_BATCH_OF_IMAGES = 64  # embedded images are large


def read_parquet(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a Parquet file, of which only the columns are read, batch by batch.

    Hugging Face's class labels, which are numbers, become their names.
    """
    with _opened(path) as file:
        schema = file.schema_arrow
        fields = {field.name: field for field in _fields(schema)}
        inner = [name for name in fields if name not in schema.names]
        check_columns(path, [*schema.names, *inner], columns)
        labels = _label_names(path, schema)
        sources = list(dict.fromkeys(fields[name].source for name in columns))
        is_large = any(_may_hold_images(fields[name].type) for name in sources)
        size, number = _BATCH_OF_IMAGES if is_large else _BATCH, 0
        for batch in file.iter_batches(batch_size=size, columns=sources):
            checked = [
                _checked(cells, f"{path}, rows from {number + 1:,}, {name}")
                for name, cells in zip(batch.schema.names, batch.columns, strict=True)
            ]
            for cells in pa.RecordBatch.from_arrays(checked, batch.schema.names).to_pylist():
                number += 1
                yield _named(Row(number, with_inner(cells, columns)), labels)


def parquet_columns(path: Path, wanted: Sequence[str]) -> list[str]:
    """Return the names of the columns of a Parquet file, and of those within them."""
    with _opened(path) as file:
        return [field.name for field in _fields(file.schema_arrow)]


@dataclass(frozen=True)
class _Field:
    """A column, or one within another; `source` names what is read of the file to get it."""

    name: str
    type: pa.DataType
    source: str


def _fields(
    schema: Iterable[pa.Field], prefix: str = "", source: str | None = None
) -> Iterator[_Field]:
    """Yield each column: `a.b` for the field `b` of a struct `a`, or of a list `a` of structs.

    Parquet names what is in a list in other ways, so that of `source`, a list, all is read.
    """
    for field in schema:
        name, is_plain = prefix + field.name, "." not in field.name
        if is_plain or not prefix:
            yield _Field(name, field.type, source or name)
        is_list = pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
        inner = field.type.value_type if is_list else field.type
        if is_plain and pa.types.is_struct(inner):
            yield from _fields(inner, f"{name}.", source or (name if is_list else None))


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file. Raises InputError where it cannot be read."""
    try:
        with (
            open_bytes(path) as content,
            # Or the columns of a whole row group, often the whole file, would be in memory.
            pq.ParquetFile(_seekable(content), buffer_size=_BUFFER, pre_buffer=False) as file,
        ):
            yield file
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from None


def _seekable(content: Any) -> Any:
    """Return the content of a file such that it can be read from its end."""
    return content if content.seekable() else pa.BufferReader(content.read())


def _may_hold_images(cells: pa.DataType) -> bool:
    kinds = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_kind(cells) for is_kind in kinds)


def _checked(cells: pa.Array, where: str) -> pa.Array:
    """Return cells; those of a column of text as bytes if one is not UTF-8, which Parquet allows.

    A float of 32 bits keeps its digits: 0.1 would become 0.10000000149011612. Raises InputError
    where a text that is not UTF-8 is inside another value.
    """
    try:
        cells.validate(full=True)
    except pa.ArrowInvalid as error:
        if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
            return cells.cast(pa.large_binary())
        raise InputError(f"{where}: {error}: save the text as UTF-8") from None
    if pa.types.is_float32(cells.type):
        shortest = cells.cast(pa.string()).cast(pa.float64())
        is_whole = pc.greater_equal(pc.abs(cells), _FLOAT32_EXACT)  # and known to its last digit
        return pc.if_else(is_whole, cells.cast(pa.float64()), shortest)
    return cells


def _label_names(path: Path, schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names of the class labels by column, as Hugging Face's datasets write them."""
    written = (schema.metadata or {}).get(b"huggingface")
    if written is None:
        return {}
    try:
        features = json.loads(written)["info"]["features"]
        found = ((name, _names_in(feature)) for name, feature in features.items())
        return {name: names for name, names in found if names is not None}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} has metadata of Hugging Face that cannot be read ({error!r}): save it again"
        ) from None


def _names_in(feature: Any) -> list[str] | None:
    """Return the names of a class label, or of those in a list; None if a feature is neither."""
    match feature:
        case {"_type": "ClassLabel"}:
            names: list[str] = feature["names"]
            return names
        case [inner] | {"_type": "Sequence" | "List" | "LargeList", "feature": inner}:
            return _names_in(inner)
    return None


def _named(row: Row, labels: Mapping[str, Sequence[str]]) -> Row:
    """Return the row with the names of its class labels."""
    cells = dict(row.cells)
    for name in labels.keys() & cells.keys():
        try:
            cells[name] = _name_of(cells[name], labels[name])
        except RowError as error:
            return Row(row.number, fault=RowError(f"{name} {error.reason}", error.fix))
    return Row(row.number, cells)


def _name_of(label: Any, names: Sequence[str]) -> Any:
    """Return the name of a class label, or those of a list; -1 is a missing label.

    Raises RowError where a label has no name.
    """
    if isinstance(label, list):
        return [_name_of(one, names) for one in label]
    if not isinstance(label, int):
        return label
    if not -1 <= label < len(names):
        raise RowError(f"is {label}, and the file names {len(names)} classes", "correct the label")
    return names[label] if label >= 0 else None
