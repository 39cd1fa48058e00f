"""Put the encoders' embeddings side by side, each scaled to unit length.

Reads data/splits.parquet and data/embeddings/; writes data/features.parquet: a row per product, a
block per encoder, null where a product lacks its input, and what each modality sees of it; and
plots/pca/<modality>.csv.

Scaling is what makes fusion pay: in a plain concatenation, or a standardised one, the encoder with
the most or the largest numbers drowns the others. What is fitted to a block is fitted in `train`,
to the training products of each fold.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.common.errors import InputError
from stages.common.files import atomic_folder, write_text
from stages.common.process import run_stage
from stages.common.tables import (
    SPARSE,
    SPLITS,
    check_schema,
    embeddings_schema,
    features_schema,
    from_arrow,
    metadata_of,
    read_batches,
    read_schema,
    read_table,
    to_arrow,
    write_batches,
)
from stages.fusion import preprocessing as projection
from stages.fusion.features import FEATURES, read_features, unit_length
from stages.fusion.fits import Fits
from stages.fusion.settings import block_weights
from stages.params import Params, load_params

EMBEDDINGS = Path("data/embeddings")
PCA = Path("plots/pca")
PLOTTED = 2000  # products in the plot: more would hide each other and swell the repository


def principal_components(rows: np.ndarray, training: np.ndarray, seed: int) -> np.ndarray:
    """Project `rows`, of shape (n, size), on their first two principal components.

    The components are those of the rows for which `training`, boolean of shape (n,), holds.
    Returns an array of shape (n, 2).
    """
    from sklearn.decomposition import PCA

    return PCA(2, svd_solver="randomized", random_state=seed).fit(rows[training]).transform(rows)


def remove_orphans(params: Params) -> None:
    """Remove the embeddings of encoders that params.yaml no longer names.

    A plain `dvc repro` leaves them behind when a list of encoders shrinks, and DVC hashes the whole
    folder. Raises InputError for a file that is no encoder's.
    """
    named = set(params.encoders_in(str(EMBEDDINGS)).values())
    for file in sorted(EMBEDDINGS.rglob("*")):
        if file.is_dir() or file in named:
            continue
        facts = metadata_of(read_schema(file)) if file.suffix == ".parquet" else {}
        if facts.get("encoder") != file.stem:
            raise InputError(f"{file} is no encoder's output: move it out of {EMBEDDINGS}")
        file.unlink()
        print(f"removed {file}: params.yaml no longer names its encoder (DVC's cache has it)")


def checked(file: Path, skus: pa.ChunkedArray) -> tuple[int | None, dict[str, Any]]:
    """Return the size of an encoder's vectors, None for sparse ones, and its table's facts.

    Raises InputError where the table is not one of embeddings, or of other products than `skus`.
    """
    schema = read_schema(file)
    at = schema.get_field_index("embedding")
    kind = schema.field(at).type if at >= 0 else None
    size = None if kind == SPARSE else getattr(kind, "list_size", 1)
    check_schema(file, schema, embeddings_schema(size))
    if not read_table(file, columns=["sku"])["sku"].equals(skus):
        raise InputError(f"{file} is of other products than data/splits.parquet: `dvc repro -f`")
    return size, metadata_of(schema)


def rows_of(file: Path, places: int | None) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """Yield an encoder's vectors, scaled to unit length, and which there are, batch by batch."""
    for batch in read_batches(file, ["sku", "embedding"]):
        rows, present = from_arrow(batch["embedding"], places)
        finite = np.isfinite(rows.sum(axis=1, dtype=np.float64))
        if not finite.all():
            sku = batch["sku"][int(finite.argmin())]
            raise InputError(f"{file}: the embedding of sku {sku} is not finite: check its encoder")
        yield to_arrow(unit_length(rows), present), present


def plot_points(
    params: Params,
    modality: str,
    present: dict[str, np.ndarray],
    parts: list[list[str]],
    fits: Fits,
) -> str:
    """Return a modality's products on their first two principal components, as CSV.

    The components are those of the products that the first fold may look at. Raises InputError
    where a block is there for fewer than two of these.
    """
    scales = block_weights(params.fusion, params.inputs_of(modality))
    may_look = np.array([row[0] != "test" for row in parts])
    for name in scales:
        if (present[name] & may_look).sum() < 2:
            raise InputError(f"{modality}: not two products to train on have a {name} input")
    seen = np.flatnonzero(np.logical_or.reduce([present[name] for name in scales]))
    shuffled = np.random.default_rng(params.seed).permutation(seen)
    # First those without which a block that few products have could not be projected.
    needed = [np.flatnonzero(present[name] & may_look)[:2] for name in scales]
    order = list(dict.fromkeys(np.concatenate([*needed, shuffled]).tolist()))
    drawn = np.zeros(len(parts), dtype=bool)
    drawn[order[:PLOTTED]] = True
    features, _ = read_features(FEATURES, modality, drawn)
    training = may_look[drawn]
    fitted = projection.fit(features.where(training), params.seed, fits)
    points = principal_components(fitted.apply(features).matrix(), training, params.seed)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["x", "y", "label"])
    for (x, y), label in zip(points, features.labels, strict=True):
        writer.writerow([f"{x:.4f}", f"{y:.4f}", label])
    return buffer.getvalue()


def main() -> None:
    """Fuse the embeddings of all encoders that params.yaml names."""
    params = load_params()
    splits = read_table(Path("data/splits.parquet"), SPLITS)
    remove_orphans(params)
    files = params.encoders_in(str(EMBEDDINGS))
    found = {name: checked(file, splits["sku"]) for name, file in files.items()}
    sizes = {name: size for name, (size, _) in found.items()}
    sparse = [name for name, size in sizes.items() if size is None]
    facts = {
        "encoders": {name: known["weights"] for name, (_, known) in found.items()},
        "kinds": {name: file.parent.name for name, file in files.items()},
        "components": dict.fromkeys(sparse, params.fusion.svd_components),
        "n_features": {name: found[name][1]["n_features"] for name in sparse},
        "modalities": {
            modality: block_weights(params.fusion, params.inputs_of(modality))
            for modality in params.modalities
        },
    }
    schema = features_schema(sizes)
    present: dict[str, list[np.ndarray]] = {name: [] for name in files}

    def tables() -> Iterator[pa.Table]:
        blocks = [rows_of(file, facts["n_features"].get(name)) for name, file in files.items()]
        at = 0
        for batch in zip(*blocks, strict=True):
            for name, (_, there) in zip(files, batch, strict=True):
                present[name].append(there)
            rows = splits[at : at + len(batch[0][1])]
            at += len(rows)
            yield pa.table([*rows.columns, *(column for column, _ in batch)], schema=schema)

    write_batches(FEATURES, schema, tables(), facts)
    there = {name: np.concatenate(parts) for name, parts in present.items()}
    parts, fits = splits["parts"].to_pylist(), Fits()
    with atomic_folder(PCA) as folder:
        for modality in params.modalities:
            points = plot_points(params, modality, there, parts, fits)
            write_text(folder / f"{modality}.csv", points)
    missing = {name: int((~has).sum()) for name, has in there.items()}
    print(f"{len(splits)} products, sizes {sizes}, missing {missing}")


if __name__ == "__main__":
    run_stage(main)
