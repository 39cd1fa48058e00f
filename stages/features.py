"""A modality's features as arrays: a block per encoder, and which rows have it."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
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
    when they are put side by side, `labels` the n names of classes, `kinds` whether a block is of
    the image or the text, `components` how many numbers a block of hashed n-grams is brought to.
    """

    blocks: dict[str, np.ndarray]
    present: dict[str, np.ndarray]
    scales: dict[str, float]
    labels: np.ndarray
    kinds: dict[str, str] = field(default_factory=dict)
    components: dict[str, int] = field(default_factory=dict)

    def matrix(self) -> np.ndarray:
        """Return the scaled blocks side by side (early fusion), float32 (n, sum of sizes)."""
        scaled = (rows * np.float32(self.scales[name]) for name, rows in self.blocks.items())
        return np.hstack(list(scaled))

    def seen(self) -> np.ndarray:
        """Return which products have at least one block, boolean of shape (n,)."""
        return np.logical_or.reduce(list(self.present.values()))

    def has(self, kind: str) -> np.ndarray:
        """Return which products have a block of a kind (image or text), boolean of shape (n,)."""
        return self.of({kind}).seen()

    def where(self, chosen: np.ndarray) -> "Features":
        """Return the features of the products for which `chosen`, boolean of shape (n,), holds."""
        return replace(
            self,
            blocks={name: rows[chosen] for name, rows in self.blocks.items()},
            present={name: rows[chosen] for name, rows in self.present.items()},
            labels=self.labels[chosen],
        )

    def of(self, kinds: Collection[str]) -> "Features":
        """Return the blocks of some kinds, their scales' squares adding up to 1 again."""
        names = [name for name in self.blocks if self.kinds[name] in kinds]
        length = sum(self.scales[name] ** 2 for name in names) ** 0.5
        return replace(
            self,
            blocks={name: self.blocks[name] for name in names},
            present={name: self.present[name] for name in names},
            scales={name: self.scales[name] / length for name in names},
        )


def unit_length(rows: np.ndarray) -> np.ndarray:
    """Scale each row of `rows`, float32 of shape (n, size), to unit length; zeros stay zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


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
    for key in ("scales", "kinds"):
        if set(facts.get(key, ())) != set(names):
            raise InputError(f"{path} does not say its blocks' {key}: `dvc repro -f` rebuilds it")
    features = Features(
        {name: rows for name, (rows, _) in columns.items()},
        {name: present for name, (_, present) in columns.items()},
        facts["scales"],
        np.asarray(table["label"].to_pylist()),
        facts["kinds"],
        facts.get("components", {}),
    )
    return features, table.select(SPLITS.names), facts
