"""The features as arrays: a block per encoder, and how they are read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from stages.common.blocks import Blocks, InputBlock, concatenate, input_key
from stages.common.errors import InputError
from stages.common.large_arrays import LargeArray, select_rows
from stages.common.tables import (
    SPARSE,
    Matrix,
    check_schema,
    features_schema,
    from_arrow,
    metadata_of,
    read_batches,
    read_schema,
    read_table,
)


@dataclass(frozen=True)
class Features:
    """The blocks of some products.

    `blocks` maps each block's name to float32 of shape (n, size), rows of unit length, or of zeros
    where `present`, boolean of shape (n,), is false. `block_weights` holds what each block is
    multiplied with when blocks are put side by side, `inputs` whether a block is of the image or
    the text, `labels` the n names of classes, `svd_components` how many components a sparse block
    is reduced to. `raw_inputs` has what an encoder read, of blocks of which a classifier does too.
    """

    blocks: dict[str, Matrix]
    present: dict[str, np.ndarray]
    block_weights: dict[str, float]
    inputs: dict[str, str]
    labels: np.ndarray
    svd_components: dict[str, int]
    raw_inputs: dict[str, InputBlock] = field(default_factory=dict)

    @property
    def X(self) -> Blocks:
        """What a classifier is given: the blocks, and inputs by their `input_key`."""
        return self.blocks | {input_key(name): block for name, block in self.raw_inputs.items()}

    def concatenate(self) -> np.ndarray:
        """Return the weighted blocks side by side (early fusion), float32 (n, sum of sizes)."""
        return concatenate(self.blocks, self.block_weights)

    def any_present(self) -> np.ndarray:
        """Return which products have at least one block, boolean of shape (n,)."""
        return np.logical_or.reduce(list(self.present.values()))

    def has_modality(self, modality: str) -> np.ndarray:
        """Return which products have a block of the image or the text, boolean of shape (n,)."""
        return self.select_modalities({modality}).any_present()

    def has_all_modalities(self) -> np.ndarray:
        """Return which products have a block of each modality of the blocks, boolean (n,)."""
        modalities = sorted(set(self.inputs.values()))
        return np.logical_and.reduce([self.has_modality(modality) for modality in modalities])

    def select_rows(self, rows: np.ndarray) -> "Features":
        """Return the features of the products for which `rows`, boolean of shape (n,), holds."""
        if rows.all():
            return self
        return replace(
            self,
            blocks={name: _select(block, rows) for name, block in self.blocks.items()},
            present={name: there[rows] for name, there in self.present.items()},
            labels=self.labels[rows],
            raw_inputs={name: block[rows] for name, block in self.raw_inputs.items()},
        )

    def select_blocks(self, block_weights: Mapping[str, float]) -> "Features":
        """Return the blocks that `block_weights` names, with these weights."""
        return replace(
            self,
            blocks={name: self.blocks[name] for name in block_weights},
            present={name: self.present[name] for name in block_weights},
            block_weights=dict(block_weights),
            inputs={name: self.inputs[name] for name in block_weights},
            raw_inputs={
                name: block for name, block in self.raw_inputs.items() if name in block_weights
            },
        )

    def select_modalities(self, modalities: Collection[str]) -> "Features":
        """Return the blocks of image or text, the squares of their weights adding up to 1 again."""
        names = [name for name in self.blocks if self.inputs[name] in modalities]
        return self.select_blocks(scaled_weights(self.block_weights, names))


def _select(rows: Matrix, chosen: np.ndarray) -> Matrix:
    return rows[chosen] if isinstance(rows, csr_array) else select_rows(rows, chosen)


def scaled_weights(block_weights: Mapping[str, float], names: Collection[str]) -> dict[str, float]:
    """Return the weights of some blocks, scaled so that their squares add up to 1."""
    length = sum(block_weights[name] ** 2 for name in names) ** 0.5
    return {name: block_weights[name] / length for name in names}


def unit_length(rows: Matrix) -> Matrix:
    """Scale each row of `rows`, float32 of shape (n, size), to unit length; zeros stay zeros."""
    if isinstance(rows, csr_array):
        squares = csr_array((rows.data**2, rows.indices, rows.indptr), rows.shape)
        lengths = np.sqrt(squares.sum(axis=1))
        each = np.repeat(np.where(lengths > 0, lengths, 1), np.diff(rows.indptr))
        data = (rows.data / each).astype(np.float32)
        return csr_array((data, rows.indices, rows.indptr), rows.shape)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


@dataclass(frozen=True)
class FeaturesMetadata:
    """What data/features.parquet says of its blocks, by name, and of what each modality sees."""

    encoders: dict[str, dict[str, Any]]  # what the embeddings say of a block's encoder
    inputs: dict[str, str]  # image or text
    n_features: dict[str, int]
    svd_components: dict[str, int]  # of sparse blocks
    modalities: dict[str, dict[str, float]]  # block weights by modality

    @property
    def seen_blocks(self) -> dict[str, float]:
        """The blocks that some modality sees, each with its weight in the last of them."""
        return {name: one for seen in self.modalities.values() for name, one in seen.items()}

    def bytes_of(self, n: int) -> int:
        """Return the bytes of the blocks of n products in float32, sparse ones as components."""
        sizes = [self.svd_components.get(name, self.n_features[name]) for name in self.seen_blocks]
        return 4 * n * sum(sizes)


def read_metadata(path: Path) -> FeaturesMetadata:
    """Read what the features say of themselves.

    Raises InputError where they are malformed, have no block, or do not describe one.
    """
    schema = read_schema(path)
    found = metadata_of(schema)
    names = [name for name in schema.names if name != "sku"]
    if not names:
        raise InputError(f"{path} holds no block: `dvc repro -f` rebuilds it")
    sizes: dict[str, int | None] = {}
    for name in names:
        kind = schema.field(name).type
        if not pa.types.is_fixed_size_list(kind) and kind != SPARSE:
            raise InputError(f"{path}: the column {name} is no column of vectors")
        sizes[name] = None if kind == SPARSE else kind.list_size
    check_schema(path, schema, features_schema(sizes))
    for key in ("encoders", "inputs", "n_features"):
        if not set(names) <= set(found.get(key, ())):
            raise InputError(f"{path} does not say its blocks' {key}: `dvc repro -f` rebuilds it")
    for key in ("modalities", "svd_components"):
        if key not in found:
            raise InputError(f"{path} does not say its {key}: `dvc repro -f` rebuilds it")
    return FeaturesMetadata(**{field.name: found[field.name] for field in fields(FeaturesMetadata)})


def check_skus(path: Path, skus: np.ndarray) -> None:
    """Raise InputError where a table is of other products than `skus`, or in another order."""
    if read_table(path, columns=["sku"])["sku"].to_pylist() != skus.tolist():
        raise InputError(f"{path} is of other products than data/splits.parquet: `dvc repro -f`")


@dataclass(frozen=True)
class FeaturesReader:
    """Reads blocks of data/features.parquet; `labels`, str (n,), are those of its products."""

    path: Path
    labels: np.ndarray

    def __call__(self, chosen: np.ndarray, block_weights: Mapping[str, float]) -> Features:
        """Return the blocks that `block_weights` names of all `chosen` products, boolean (n,)."""
        return read_features(self.path, block_weights, self.labels, chosen, keep_empty=True)[0]


class _DenseRows:
    """The vectors of a block, put together from batches."""

    def __init__(self) -> None:
        self.present: list[np.ndarray] = []
        self._rows = LargeArray()

    def append(self, rows: Matrix, present: np.ndarray) -> None:
        """Add the vectors of some products, and which of them there are."""
        self.present.append(present)
        self._rows.append(rows)

    def finish(self) -> Matrix:
        """Return the vectors of all."""
        return self._rows.finish()


class _SparseRows(_DenseRows):
    """The same of a block of sparse vectors."""

    def __init__(self) -> None:
        super().__init__()
        self._size = 0
        self._entries = [LargeArray(), LargeArray()]  # values and indices
        self._counts: list[np.ndarray] = []  # of entries of each row

    def append(self, rows: Matrix, present: np.ndarray) -> None:
        """Add the vectors of some products, and which of them there are."""
        assert isinstance(rows, csr_array)
        self.present.append(present)
        self._size = rows.shape[1]
        for whole, part in zip(self._entries, (rows.data, rows.indices), strict=True):
            whole.append(part)
        self._counts.append(np.diff(rows.indptr))

    def finish(self) -> Matrix:
        """Return the vectors of all."""
        counts = np.concatenate(self._counts)
        ends = np.append(0, np.cumsum(counts, dtype=np.int64))
        data, indices = (entries.finish() for entries in self._entries)
        return csr_array((data, indices, ends), shape=(len(counts), self._size))


def read_features(
    path: Path,
    block_weights: Mapping[str, float],
    labels: np.ndarray,
    chosen: np.ndarray,
    keep_empty: bool = False,
) -> tuple[Features, np.ndarray]:
    """Read the blocks that `block_weights` names, of the products that `chosen` holds for.

    `labels`, str, and `chosen`, boolean, are of shape (n,), for the n products of the table.
    Products that have none of the blocks are dropped, unless `keep_empty`: return the features of
    the others, and their row numbers, int of shape (len(features.labels),). Large blocks lie in
    files: see large_arrays. Raises InputError where the disk has no room for them.
    """
    schema = read_schema(path)
    metadata = read_metadata(path)
    read = {
        name: (_SparseRows if schema.field(name).type == SPARSE else _DenseRows)()
        for name in block_weights
    }
    rows: list[np.ndarray] = []
    start = 0
    for batch in read_batches(path, list(block_weights)):
        vectors = {name: from_arrow(batch[name], metadata.n_features[name]) for name in read}
        here = chosen[start : start + len(batch)]
        if not keep_empty:
            here = here & np.logical_or.reduce([there for _, there in vectors.values()])
        for name, (given, there) in vectors.items():
            read[name].append(given[here], there[here])
        rows.append(start + np.flatnonzero(here))
        start += len(batch)
    pa.default_memory_pool().release_unused()  # it would keep as much again as was read
    kept = np.concatenate(rows)
    features = Features(
        {name: one.finish() for name, one in read.items()},
        {name: np.concatenate(one.present) for name, one in read.items()},
        dict(block_weights),
        {name: metadata.inputs[name] for name in block_weights},
        labels[kept],
        {name: n for name, n in metadata.svd_components.items() if name in block_weights},
    )
    return features, kept
