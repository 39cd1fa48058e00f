"""The tables that the encoders wrote, as fuse reads them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.common.errors import InputError
from stages.common.files import DESKTOP_FILES, remove_leftovers
from stages.common.paths import EMBEDDINGS
from stages.common.tables import (
    SPARSE,
    check_schema,
    embeddings_schema,
    from_arrow,
    metadata_of,
    read_batches,
    read_schema,
    to_arrow,
)
from stages.fusion.features import check_skus, unit_length


@dataclass(frozen=True)
class EmbeddingTable:
    """An encoder's table, checked: where it is, how long its vectors are, and the encoder.

    `encoder` is what the table says of it: all but the length of its vectors and its texts' counts.
    """

    file: Path
    n_features: int
    is_sparse: bool
    encoder: dict[str, Any]


def remove_orphans(files: Collection[Path]) -> None:
    """Remove the embeddings of encoders that params.yaml no longer names: all but `files`.

    A plain `dvc repro` leaves them behind when a list of encoders shrinks, and DVC hashes the whole
    folder. Raises InputError for a file that is no encoder's.
    """
    for folder in EMBEDDINGS.glob("*"):
        remove_leftovers(folder)  # of a killed run: no later one writes to an unnamed place
    for file in sorted(EMBEDDINGS.rglob("*")):
        if file.is_dir() or file in files or file.name in DESKTOP_FILES:
            continue
        metadata = metadata_of(read_schema(file)) if file.suffix == ".parquet" else {}
        if metadata.get("encoder") != file.stem:
            raise InputError(f"{file} is no encoder's output: move it out of {EMBEDDINGS}")
        file.unlink()
        print(f"removed {file}: params.yaml no longer names its encoder (DVC's cache has it)")


def open_embeddings(file: Path, skus: np.ndarray) -> EmbeddingTable:
    """Check an encoder's table and return what it says of itself.

    Raises InputError where it is not a table of embeddings, or of other products than `skus`.
    """
    schema = read_schema(file)
    column = schema.get_field_index("embedding")
    kind = schema.field(column).type if column >= 0 else None
    size = None if kind == SPARSE else getattr(kind, "list_size", 1)
    check_schema(file, schema, embeddings_schema(size))
    check_skus(file, skus)
    metadata = metadata_of(schema)
    for key in ("encoder", "weights", "settings", "backend", "precision", "n_features"):
        if key not in metadata:
            raise InputError(f"{file} does not say its {key}: `dvc repro -f` rebuilds it")
    n_features = metadata["n_features"] if size is None else size
    encoder = {key: value for key, value in metadata.items() if key not in ("n_features", "texts")}
    return EmbeddingTable(file, n_features, size is None, encoder)


def has_vectors(table: EmbeddingTable) -> bool:
    """Return whether any product has a vector of an encoder."""
    return any(
        batch["embedding"].null_count < len(batch)
        for batch in read_batches(table.file, ["embedding"])
    )


def read_vectors(table: EmbeddingTable) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """Yield an encoder's vectors, scaled to unit length, and which there are, batch by batch."""
    for batch in read_batches(table.file, ["sku", "embedding"]):
        rows, present = from_arrow(batch["embedding"], table.n_features)
        finite = np.isfinite(rows.sum(axis=1, dtype=np.float64))
        if not finite.all():
            sku = batch["sku"][int(finite.argmin())]
            raise InputError(
                f"{table.file}: the embedding of sku {sku} is not finite: check its encoder"
            )
        yield to_arrow(unit_length(rows), present), present
