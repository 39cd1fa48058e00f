"""The tables that stages hand to each other: their schemas, and how they are read and written.

Every table is an Arrow table in a Parquet file. What is said of a whole table (where its weights
come from, the names of its classes) is JSON in the schema's metadata, under the key `metadata`.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array, vstack

from stages.common.errors import InputError
from stages.common.files import atomic_file

PRODUCTS = pa.schema(
    [
        pa.field("sku", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("description", pa.string(), nullable=False),
        pa.field("manufacturer", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        # Where the image is, as stages.common.image_ref writes it; null where there is none.
        pa.field("image", pa.string()),
    ]
)

SPLITS = pa.schema(
    [
        pa.field("sku", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        # Products of one group are on one side of every split; a bootstrap draws groups.
        pa.field("group", pa.string(), nullable=False),
        pa.field("fold", pa.int32(), nullable=False),  # from 1
        pa.field("role", pa.string(), nullable=False),  # train, validation or test
        # Where validation takes turns, the turn in which the product is held out, from 1; else 0.
        pa.field("turn", pa.int32(), nullable=False),
    ]
)

IMAGES = pa.schema(
    [
        pa.field("sku", pa.string(), nullable=False),
        pa.field("jpeg", pa.binary()),  # a square in RGB, null unless the status is ok
        pa.field("sha256", pa.string()),  # of the JPEG bytes
        pa.field("perceptual_hash", pa.uint64()),  # null for a blank image as well
        pa.field("status", pa.string(), nullable=False),  # ok, failed, or none: it names no image
        pa.field("reason", pa.string()),  # why it failed
    ]
)

# Vectors of which most numbers are zeros: a column of them does not say how long they are.
SPARSE = pa.list_(
    pa.struct(
        [
            pa.field("index", pa.int32(), nullable=False),
            pa.field("value", pa.float32(), nullable=False),
        ]
    )
)
Matrix: TypeAlias = np.ndarray | csr_array  # float32 of shape (n, size)


def vectors(size: int) -> pa.DataType:
    """Return the type of a column of float32 vectors of `size` numbers."""
    return pa.list_(pa.float32(), size)


def embeddings_schema(size: int | None) -> pa.Schema:
    """Return the schema of an encoder's table: a null embedding stands for a missing input.

    Vectors have `size` numbers, or are sparse where it is None.
    """
    return pa.schema(
        [
            pa.field("sku", pa.string(), nullable=False),
            pa.field("sha256", pa.string()),  # of the input that was embedded
            pa.field("embedding", _vectors_or_sparse(size)),
        ]
    )


def features_schema(sizes: Mapping[str, int | None]) -> pa.Schema:
    """Return the schema of the features: a block per encoder, null where it is missing.

    `sizes` has the length of each block's vectors, None for sparse ones.
    """
    blocks = [pa.field(name, _vectors_or_sparse(size)) for name, size in sizes.items()]
    return pa.schema([SPLITS.field("sku"), *blocks])


def _vectors_or_sparse(size: int | None) -> pa.DataType:
    return SPARSE if size is None else vectors(size)


def probabilities_schema(classes: int) -> pa.Schema:
    """Return the schema of a model's table: a row per fold and product that it was held out for.

    Vectors have a probability per class, in the order of the metadata's `classes`.
    """
    return pa.schema(
        [
            pa.field("sku", pa.string(), nullable=False),
            pa.field("label", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),
            pa.field("fold", pa.int32(), nullable=False),  # from 1
            pa.field("role", pa.string(), nullable=False),  # validation or test
            # The input that was hidden from the model although the product has it: "", image, text.
            pa.field("ablated_modality", pa.string(), nullable=False),
            pa.field("probabilities", vectors(classes), nullable=False),
            pa.field("uncalibrated", vectors(classes), nullable=False),
        ]
    )


def to_arrow(rows: Matrix, present: np.ndarray | None = None) -> pa.Array:
    """Make a column of vectors from `rows`, float32 of shape (n, size), sparse if they are.

    `present` is a boolean array of shape (n,); a row for which it is false becomes null.
    """
    mask = None if present is None else pa.array(~present)
    if isinstance(rows, np.ndarray):
        flat = pa.array(np.ascontiguousarray(rows, dtype=np.float32).ravel())
        return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1], mask=mask)
    arrays = [pa.array(rows.indices, pa.int32()), pa.array(rows.data, pa.float32())]
    entries = pa.StructArray.from_arrays(arrays, fields=list(SPARSE.value_type))
    return pa.ListArray.from_arrays(pa.array(rows.indptr, pa.int32()), entries, SPARSE, mask=mask)


def from_arrow(
    column: pa.ChunkedArray | pa.Array, n_features: int | None = None
) -> tuple[Matrix, np.ndarray]:
    """Return a column of vectors as (rows, present): zeros stand where a vector is null.

    `rows` is float32 of shape (n, size) and `present` is boolean of shape (n,). Where no vector is
    null, `rows` may lie in the column's memory, and must not be written to. Sparse vectors have
    `n_features` numbers.
    """
    present = np.asarray(column.is_valid())
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    if column.type == SPARSE:
        if n_features is None:
            raise ValueError("a sparse column does not say how many numbers its vectors have")
        parts = [_sparse_rows(chunk, n_features) for chunk in chunks if len(chunk)]
        empty = csr_array((0, n_features), dtype=np.float32)
        return (vstack(parts, format="csr") if parts else empty), present
    size = column.type.list_size
    # The numbers of all rows: to drop those of null rows first takes twice the time.
    flat = [chunk.values.slice(chunk.offset * size, len(chunk) * size) for chunk in chunks]
    parts = [one.to_numpy(zero_copy_only=False).reshape(-1, size) for one in flat]
    if len(parts) == 1 and present.all():
        return parts[0], present
    rows = np.zeros((len(column), size), dtype=np.float32)
    start = 0
    for numbers in parts:
        stop = start + len(numbers)
        np.copyto(rows[start:stop], numbers, where=present[start:stop, None])
        start = stop
    return rows, present


def _sparse_rows(chunk: pa.Array, n_features: int) -> csr_array:
    counts = np.asarray(chunk.value_lengths().fill_null(0))
    entries = chunk.flatten()
    numbers = [entries.field(name).to_numpy() for name in ("value", "index")]
    return csr_array((*numbers, np.append(0, np.cumsum(counts))), shape=(len(chunk), n_features))


def write_table(path: Path, table: pa.Table, metadata: Mapping[str, Any] | None = None) -> None:
    """Write `table` to `path`, whole or not at all, with `metadata` in its schema's metadata."""
    write_batches(path, table.schema, [table], metadata)


def write_batches(
    path: Path,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write tables of one schema to `path` as they come, as one table, whole or not at all."""
    encoded = {"metadata": json.dumps(metadata, ensure_ascii=False)} if metadata else None
    schema = schema.with_metadata(encoded)
    with atomic_file(path) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table.replace_schema_metadata(encoded))


@contextmanager
def written_aside(
    path: Path, schema: pa.Schema, tables: Iterable[pa.Table]
) -> Iterator[Iterator[pa.Table]]:
    """Write tables of one schema to a nameless file beside `path`; give them as they were.

    One table is in memory at a time. The file is gone when the block ends, or the process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as file:
        with pq.ParquetWriter(file, schema, compression="lz4") as writer:
            for table in tables:
                writer.write_table(table, row_group_size=max(len(table), 1))
        with pq.ParquetFile(file) as written:
            yield map(written.read_row_group, range(written.num_row_groups))


def read_table(
    path: Path, schema: pa.Schema | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read a table, or some of its columns, and check that its columns are those of `schema`.

    Raises InputError where the file is missing, is no Parquet, or has another schema: it names the
    first column that differs.
    """
    with _explained(path):
        table = pq.read_table(path, columns=columns)
    if schema is not None:
        check_schema(path, table.schema, schema)
    return table


def read_schema(path: Path) -> pa.Schema:
    """Read the schema of a table; raises InputError as `read_table` does."""
    with _explained(path):
        return pq.read_schema(path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} is not there: `dvc repro` builds it") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is no Parquet file ({error}): `dvc repro -f` rebuilds") from None


def read_batches(path: Path, columns: Sequence[str], rows: int = 4096) -> Iterator[pa.Table]:
    """Read some columns of a table that was checked, so many rows at a time (the last: fewer)."""
    waiting = None
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(rows, columns=list(columns)):
            table = pa.Table.from_batches([batch])
            waiting = pa.concat_tables([waiting, table]) if waiting else table
            while len(waiting) >= rows:
                yield waiting[:rows]
                waiting = waiting[rows:]
    if waiting:
        yield waiting


def check_schema(path: Path, found: pa.Schema, wanted: pa.Schema) -> None:
    """Raise InputError naming the first column of `found` that is not as `wanted` has it."""
    for field in wanted:
        at = found.get_field_index(field.name)
        if at < 0:
            raise InputError(f"{path} lacks the column {field.name} ({field.type})")
        if found.field(at).type != field.type:
            raise InputError(
                f"{path}: the column {field.name} is {found.field(at).type}, not {field.type}"
            )
    for name in found.names:
        if wanted.get_field_index(name) < 0:
            raise InputError(f"{path} has the column {name}, which is none of {wanted.names}")


def metadata_of(schema: pa.Schema) -> dict[str, Any]:
    """Return what `write_table` was given as `metadata`."""
    return json.loads((schema.metadata or {}).get(b"metadata", b"{}"))
