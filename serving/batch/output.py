"""The output: a row for each row of the table, in Parquet or CSV."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from serving import answer_table
from serving.answers import Prediction
from stages.common.files import atomic_file
from stages.common.tables import write_batches

SCHEMA = pa.schema([pa.field("row", pa.int64(), nullable=False), *answer_table.SCHEMA])
GROUP = 4096  # rows that are written together
SEPARATOR = " | "  # between the texts of a list in CSV
DIGITS = 7  # of a probability in CSV: as many as a float32 has


def output_table(first: int, predictions: Sequence[Prediction]) -> pa.Table:
    """Return predictions as a table of SCHEMA, whose rows are numbered from `first`."""
    rows = pa.array(range(first, first + len(predictions)), pa.int64())
    table = answer_table.to_table(predictions)
    return pa.table([rows, *table.columns], schema=SCHEMA)


def write_output(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables of SCHEMA as one file, CSV if its name says so, whole or not at all."""
    if path.suffix.lower() == ".csv":
        _write_csv(path, tables)
    else:
        write_batches(path, SCHEMA, _grouped(tables))


def _grouped(tables: Iterable[pa.Table]) -> Iterable[pa.Table]:
    """Yield tables of about GROUP rows: many small ones make a file large and slow."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= GROUP:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _write_csv(path: Path, tables: Iterable[pa.Table]) -> None:
    schema = flat(SCHEMA.empty_table()).schema
    with atomic_file(path) as part, pyarrow.csv.CSVWriter(part, schema) as writer:
        for table in tables:
            writer.write_table(flat(table))


def flat(table: pa.Table) -> pa.Table:
    """Return a table of SCHEMA for CSV: probabilities are rounded, lists become one text."""
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if name == "top":
            labels, probabilities = column.values.flatten()
            columns["top"] = _joined(column, labels)
            columns["top_probabilities"] = _joined(column, pc.round(probabilities, DIGITS))
        elif name == "missing":
            columns[name] = _joined(column, column.values)
        else:
            is_number = pa.types.is_floating(column.type)
            columns[name] = pc.round(column, DIGITS) if is_number else column
    return pa.table(columns)


def _joined(lists: pa.ListArray, values: pa.Array) -> pa.Array:
    """Return a text for each of `lists`: the `values` in their places, joined."""
    texts = pa.ListArray.from_arrays(lists.offsets, values.cast(pa.string()))
    return pc.binary_join(texts, SEPARATOR)
