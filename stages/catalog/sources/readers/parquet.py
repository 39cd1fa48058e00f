"""Parquet."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.catalog.sources.readers.columns import check_columns
from stages.common.errors import InputError


def read_parquet(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a Parquet file, of which only the columns are read, batch by batch."""
    try:
        with pq.ParquetFile(path) as file:
            check_columns(path, file.schema_arrow.names, columns)
            first = 1
            for batch in file.iter_batches(batch_size=8192, columns=columns):
                for name, cells in zip(batch.schema.names, batch.columns, strict=True):
                    _check_unicode(cells, f"{path}, rows from {first:,}, {name}")
                yield from batch.to_pylist()
                first += len(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from None


def _check_unicode(cells: pa.Array, where: str) -> None:
    """Raise InputError where a cell is not UTF-8, which Parquet allows."""
    try:
        cells.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InputError(f"{where}: {error}: save the text as UTF-8") from None
