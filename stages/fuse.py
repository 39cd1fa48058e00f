"""Put the embeddings that a modality names side by side, each centred and scaled to unit length.

Reads data/splits.parquet and the modality's folder of data/embeddings/; writes
data/features/<modality>.parquet: a row per product, a block per encoder, null where a product lacks
its input; and plots/pca/<modality>.csv.

Scaling is what makes fusion pay: in a plain concatenation, or a standardised one, the encoder with
the most or the largest numbers drowns the others. Centring takes away what all products have in
common (Mu and Viswanath 2018, All-but-the-Top), without which the vectors of some networks all but
coincide once they are of unit length.
"""

import argparse
import csv
import io
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.errors import InputError, run_stage
from stages.files import write_text
from stages.params import Params, load_params
from stages.tables import (
    SPLITS,
    check_schema,
    embeddings_schema,
    facts_of,
    features_schema,
    read_table,
    vector_column,
    vector_rows,
    write_table,
)

PLOTTED = 2000  # products in the plot: more would hide each other and swell the repository


def unit_length(rows: np.ndarray) -> np.ndarray:
    """Scale each row of `rows`, float32 of shape (n, size), to unit length; zeros stay zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def centred(rows: np.ndarray, present: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Scale rows to unit length, subtract the mean of those to train on, scale them again.

    `rows` is float32 of shape (n, size); `present` and `training` are boolean of shape (n,). Rows
    that are not present come and stay zeros.
    """
    scaled = unit_length(rows)
    mean = scaled[present & training].mean(axis=0, dtype=np.float64).astype(np.float32)
    return unit_length(np.where(present[:, None], scaled - mean, 0))


def principal_components(rows: np.ndarray, training: np.ndarray, seed: int) -> np.ndarray:
    """Project `rows`, of shape (n, size), on their first two principal components.

    The components are those of the rows for which `training`, boolean of shape (n,), holds.
    Returns an array of shape (n, 2).
    """
    from sklearn.decomposition import PCA

    return PCA(2, svd_solver="randomized", random_state=seed).fit(rows[training]).transform(rows)


def remove_orphans(params: Params, folder: str) -> None:
    """Remove the embeddings of encoders that params.yaml no longer names.

    A plain `dvc repro` leaves them behind when a list of encoders shrinks, and DVC hashes the whole
    folder. Raises InputError for a file that is no encoder's.
    """
    named = set(params.encoders_in(folder).values())
    for file in sorted(Path(folder).rglob("*")):
        if file.is_dir() or file in named:
            continue
        ours = file.suffix == ".parquet" and facts_of(read_table(file)).get("encoder") == file.stem
        if not ours:
            raise InputError(f"{file} is no encoder's output: move it out of {folder}")
        file.unlink()
        print(f"removed {file}: params.yaml no longer names its encoder (DVC's cache has it)")


def read_block(file: Path, skus: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, pa.Table]:
    """Read an encoder's table as (rows, present, table), in the order of `skus`."""
    table = read_table(file)
    at = table.schema.get_field_index("embedding")
    size = getattr(table.schema.field(at).type, "list_size", 1) if at >= 0 else 1
    check_schema(file, table.schema, embeddings_schema(size))
    if not table["sku"].equals(skus):
        raise InputError(f"{file} is of other products than data/splits.parquet: `dvc repro -f`")
    rows, present = vector_rows(table["embedding"])
    if not np.isfinite(rows).all():
        sku = table["sku"][int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])]
        raise InputError(f"{file}: the embedding of sku {sku} is not finite: check its encoder")
    return rows, present, table


def main() -> None:
    """Fuse the embeddings of the modality that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modality", required=True, help="under `modalities` in params.yaml")
    modality = parser.parse_args().modality
    params = load_params()
    splits = read_table(Path("data/splits.parquet"), SPLITS)
    remove_orphans(params, params.modalities[modality].embeddings)

    training = np.asarray(splits["split"].to_pylist()) == "train"
    blocks, encoders = {}, {}
    for name, file in params.encoders_of(modality).items():
        rows, present, table = read_block(file, splits["sku"])
        if (present & training).sum() < 2:
            raise InputError(f"{modality}: not two products to train on have a {name} input")
        blocks[name] = (centred(rows, present, training), present)
        encoders[name] = facts_of(table)["weights"]
    sizes = {name: rows.shape[1] for name, (rows, _) in blocks.items()}
    columns = [vector_column(rows, present) for rows, present in blocks.values()]
    features = pa.table([*splits.columns, *columns], schema=features_schema(sizes))
    scales = params.scales_of(modality)
    facts = {"encoders": encoders, "scales": scales}
    write_table(Path("data/features") / f"{modality}.parquet", features, facts)

    seen = np.flatnonzero(np.logical_or.reduce([present for _, present in blocks.values()]))
    drawn = np.random.default_rng(params.seed).permutation(seen)[:PLOTTED]
    labels = np.asarray(splits["label"].to_pylist())[drawn]
    matrix = np.hstack([rows[drawn] * scales[name] for name, (rows, _) in blocks.items()])
    points = principal_components(matrix, training[drawn], params.seed)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["x", "y", "label"])
    for (x, y), label in zip(points, labels, strict=True):
        writer.writerow([f"{x:.4f}", f"{y:.4f}", label])
    write_text(Path("plots/pca") / f"{modality}.csv", buffer.getvalue())
    missing = {name: int((~present).sum()) for name, (_, present) in blocks.items()}
    print(f"{modality}: {len(splits)} products, sizes {sizes}, missing {missing}")


if __name__ == "__main__":
    run_stage(main)
