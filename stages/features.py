"""A modality's features as arrays: a block per encoder, and which rows have it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.errors import InputError
from stages.tables import SPLITS, check_schema, facts_of, features_schema, read_table, vector_rows


@dataclass(frozen=True)
class Features:
    """What the models of a modality see of some products.

    `blocks` maps each encoder to float32 of shape (n, size), rows of unit length, or of zeros where
    `present`, boolean of shape (n,), is false. `scales` holds what each block is multiplied with
    when they are put side by side, `labels` the n names of classes.
    """

    blocks: dict[str, np.ndarray]
    present: dict[str, np.ndarray]
    scales: dict[str, float]
    labels: np.ndarray

    def matrix(self) -> np.ndarray:
        """Return the scaled blocks side by side (early fusion), float32 (n, sum of sizes)."""
        scaled = (rows * np.float32(self.scales[name]) for name, rows in self.blocks.items())
        return np.hstack(list(scaled))

    def seen(self) -> np.ndarray:
        """Return which products have at least one block, boolean of shape (n,)."""
        return np.logical_or.reduce(list(self.present.values()))

    def where(self, chosen: np.ndarray) -> "Features":
        """Return the features of the products for which `chosen`, boolean of shape (n,), holds."""
        return Features(
            {name: rows[chosen] for name, rows in self.blocks.items()},
            {name: rows[chosen] for name, rows in self.present.items()},
            self.scales,
            self.labels[chosen],
        )


def read_features(path: Path) -> tuple[Features, pa.Table, dict[str, Any]]:
    """Read a table that `fuse` wrote.

    Returns the features of every product, the table's columns of schema SPLITS, and its facts.
    """
    table = read_table(path)
    names = [name for name in table.column_names if name not in SPLITS.names]
    if not names:
        raise InputError(f"{path} holds no block: `dvc repro -f` rebuilds it")
    for name in names:
        if not pa.types.is_fixed_size_list(table.schema.field(name).type):
            raise InputError(f"{path}: the column {name} is no column of vectors")
    sizes = {name: table.schema.field(name).type.list_size for name in names}
    check_schema(path, table.schema, features_schema(sizes))
    columns = {name: vector_rows(table[name]) for name in names}
    facts = facts_of(table)
    if set(facts.get("scales", ())) != set(names):
        raise InputError(f"{path} does not say its blocks' scales: `dvc repro -f` rebuilds it")
    features = Features(
        {name: rows for name, (rows, _) in columns.items()},
        {name: present for name, (_, present) in columns.items()},
        facts["scales"],
        np.asarray(table["label"].to_pylist()),
    )
    return features, table.select(SPLITS.names), facts
