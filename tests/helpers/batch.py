"""Tables of products whose class the small models of `helpers.models` know."""

import csv
from pathlib import Path

import pyarrow.parquet as pq
from helpers.models import LABELS, texts_of_row

COLUMNS = ["sku", "name", "description"]


def products(count: int) -> list[dict[str, str]]:
    """Return the texts of `count` products as rows."""
    rows = [texts_of_row(label, i) for i, label in enumerate(labels(count))]
    return [{name: row[name] for name in COLUMNS} for row in rows]


def labels(count: int) -> list[str]:
    """Return the classes of these products."""
    return [LABELS[i % len(LABELS)] for i in range(count)]


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(output: Path) -> list[dict]:
    """Return the rows of an output in Parquet."""
    return pq.read_table(output).to_pylist()
