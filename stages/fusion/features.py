"""The features as arrays: what a modality sees of products, a block per encoder."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array, vstack

from stages.common.errors import InputError
from stages.common.tables import (
    SPARSE,
    SPLITS,
    Matrix,
    check_schema,
    features_schema,
    from_arrow,
    metadata_of,
    read_batches,
    read_schema,
    read_table,
)

FEATURES = Path("data/features.parquet")


@dataclass(frozen=True)
class Features:
    """What the models of a modality see of some products.

    `blocks` maps each encoder to float32 of shape (n, size), rows of unit length, or of zeros where
    `present`, boolean of shape (n,), is false. `scales` holds what each block is multiplied with
    when they are put side by side, `labels` the n names of classes, `kinds` whether a block is of
    the image or the text, `components` how many numbers a block of hashed n-grams, which is sparse,
    is brought to.
    """

    blocks: dict[str, Matrix]
    present: dict[str, np.ndarray]
    scales: dict[str, float]
    labels: np.ndarray
    kinds: dict[str, str] = field(default_factory=dict)
    components: dict[str, int] = field(default_factory=dict)

    def matrix(self) -> np.ndarray:
        """Return the scaled blocks side by side (early fusion), float32 (n, sum of sizes)."""
        sizes = [rows.shape[1] for rows in self.blocks.values()]
        found = np.empty((len(self.labels), sum(sizes)), dtype=np.float32)
        ends = np.cumsum(sizes)
        for (name, rows), size, end in zip(self.blocks.items(), sizes, ends, strict=True):
            np.multiply(rows, np.float32(self.scales[name]), out=found[:, end - size : end])
        return found

    def seen(self) -> np.ndarray:
        """Return which products have at least one block, boolean of shape (n,)."""
        return np.logical_or.reduce(list(self.present.values()))

    def has(self, kind: str) -> np.ndarray:
        """Return which products have a block of a kind (image or text), boolean of shape (n,)."""
        return self.of({kind}).seen()

    def where(self, chosen: np.ndarray) -> "Features":
        """Return the features of the products for which `chosen`, boolean of shape (n,), holds."""
        if chosen.all():
            return self
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


def unit_length(rows: Matrix) -> Matrix:
    """Scale each row of `rows`, float32 of shape (n, size), to unit length; zeros stay zeros."""
    if isinstance(rows, csr_array):
        lengths = np.sqrt(rows.multiply(rows).sum(axis=1))
        each = np.repeat(np.where(lengths > 0, lengths, 1), np.diff(rows.indptr))
        data = (rows.data / each).astype(np.float32)
        return csr_array((data, rows.indices, rows.indptr), rows.shape)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def read_products(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Read the columns of schema SPLITS of a table that `fuse` wrote, and its facts."""
    schema = read_schema(path)
    facts = metadata_of(schema)
    names = [name for name in schema.names if name not in SPLITS.names]
    if not names:
        raise InputError(f"{path} holds no block: `dvc repro -f` rebuilds it")
    sizes: dict[str, int | None] = {}
    for name in names:
        kind = schema.field(name).type
        if not pa.types.is_fixed_size_list(kind) and kind != SPARSE:
            raise InputError(f"{path}: the column {name} is no column of vectors")
        sizes[name] = None if kind == SPARSE else kind.list_size
    check_schema(path, schema, features_schema(sizes))
    sparse = {name for name, size in sizes.items() if size is None}
    for key, needed in {"encoders": set(names), "kinds": set(names), "n_features": sparse}.items():
        if not needed <= set(facts.get(key, ())):
            raise InputError(f"{path} does not say its blocks' {key}: `dvc repro -f` rebuilds it")
    for key in ("modalities", "components"):
        if key not in facts:
            raise InputError(f"{path} does not say its {key}: `dvc repro -f` rebuilds it")
    return read_table(path, columns=SPLITS.names), facts


def read_features(path: Path, modality: str, chosen: np.ndarray) -> tuple[Features, np.ndarray]:
    """Read what a modality sees of the products for which `chosen`, boolean of shape (n,), holds.

    Those that have none of its blocks are left out: returns the features of the others, and which
    these are, boolean of shape (n,).
    """
    schema = read_schema(path)
    facts = metadata_of(schema)
    scales = facts["modalities"][modality]
    # Filled in place: parts joined in the end would be in memory twice.
    dense = {
        name: np.empty((int(chosen.sum()), schema.field(name).type.list_size), np.float32)
        for name in scales
        if schema.field(name).type != SPARSE
    }
    sparse: dict[str, list[csr_array]] = {name: [] for name in scales if name not in dense}
    present: dict[str, list[np.ndarray]] = {name: [] for name in scales}
    labels, kept, at, filled = [], [], 0, 0
    for batch in read_batches(path, ["label", *scales]):
        read = {name: from_arrow(batch[name], facts["n_features"].get(name)) for name in scales}
        seen = np.logical_or.reduce([has for _, has in read.values()])
        here = chosen[at : at + len(batch)] & seen
        until = filled + int(here.sum())
        for name, (rows, has) in read.items():
            present[name].append(has[here])
            if name in dense:
                dense[name][filled:until] = rows[here]
            else:
                sparse[name].append(rows[here])
        labels.append(np.asarray(batch["label"].to_pylist())[here])
        kept.append(here)
        at, filled = at + len(batch), until
    pa.default_memory_pool().release_unused()  # it would keep as much again as was read
    blocks: dict[str, Matrix] = {
        name: dense[name][:filled] if name in dense else vstack(sparse.pop(name), format="csr")
        for name in scales
    }
    features = Features(
        blocks,
        {name: np.concatenate(parts) for name, parts in present.items()},
        scales,
        np.concatenate(labels),
        {name: facts["kinds"][name] for name in scales},
        {name: size for name, size in facts["components"].items() if name in scales},
    )
    return features, np.concatenate(kept)
