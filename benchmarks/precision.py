"""What bfloat16 changes: the demo in float32 and in bfloat16, vectors and predictions compared.

Run as `python -m benchmarks.precision`, on a processor that computes in bfloat16. Prints each
encoder's least cosine between the two vectors of a product, and of each model's test products the
share that both runs put into the same class.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.copies import Clone
from benchmarks.measure import machine, table
from stages.common.tables import SPARSE, from_arrow, read_schema, read_table


def main() -> None:
    """Run the pipeline twice and print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=1000)
    count = parser.parse_args().products
    print(f"{machine()}\n{count:,} drawn products\n")
    with tempfile.TemporaryDirectory() as name:
        exact, rounded = (
            built(Path(name) / precision, precision, count) for precision in ("float32", "bfloat16")
        )
        files = sorted((exact / "data/embeddings").rglob("*.parquet"))
        rows = [
            (path.stem, f"{least_cosine(path, rounded / path.relative_to(exact)):.6f}")
            for path in files
            if read_schema(path).field("embedding").type != SPARSE
        ]
        print("least cosine to float32\n" + table(rows))
        files = sorted((exact / "data/predictions").glob("*.parquet"))
        rows = [
            (path.stem, f"{agreement(path, rounded / path.relative_to(exact)):.2%}")
            for path in files
        ]
        print("\ntest products put into the same class\n" + table(rows))


def built(top: Path, precision: str, count: int) -> Path:
    """Run the whole demo in a precision; return where."""

    def edit(params: Any) -> None:
        params["precision"] = precision
        params["data"]["demo"]["products"] = count

    Clone(top, edit).repro()
    return top


def least_cosine(path: Path, other: Path) -> float:
    """Return the least cosine between two tables' vectors of one product."""
    (a, there), (b, _) = (from_arrow(read_table(file)["embedding"]) for file in (path, other))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1)[there] / norms[there]).min())


def agreement(path: Path, other: Path) -> float:
    """Return the share of products that two tables of predictions put into the same class."""
    tables = [read_table(file, columns=["sku", "prediction"]) for file in (path, other)]
    one, two = (dict(zip(*found.to_pydict().values(), strict=True)) for found in tables)
    return sum(two[sku] == label for sku, label in one.items()) / len(one)


if __name__ == "__main__":
    main()
