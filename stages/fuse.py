"""Put the embeddings that a modality names side by side, each scaled to unit length.

Reads data/splits.parquet and the modality's folder of data/embeddings/; writes
data/features/<modality>.parquet: a row per product, a block per encoder, null where a product lacks
its input; and plots/pca/<modality>.csv.

Scaling is what makes fusion pay: in a plain concatenation, or a standardised one, the encoder with
the most or the largest numbers drowns the others. What is fitted to a block is fitted in `train`,
to the training products of each fold.
"""

import argparse
import csv
import io
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages import projection
from stages.errors import InputError, run_stage
from stages.features import Features, unit_length
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

    blocks, present, encoders = {}, {}, {}
    for name, file in params.encoders_of(modality).items():
        rows, present[name], table = read_block(file, splits["sku"])
        blocks[name] = unit_length(rows)
        encoders[name] = facts_of(table)["weights"]
    scales, kinds = params.scales_of(modality), params.kinds_of(modality)
    components = params.components_of(modality)
    sizes = {name: rows.shape[1] for name, rows in blocks.items()}
    columns = [vector_column(rows, present[name]) for name, rows in blocks.items()]
    table = pa.table([*splits.columns, *columns], schema=features_schema(sizes))
    facts = {"encoders": encoders, "scales": scales, "kinds": kinds, "components": components}
    write_table(Path("data/features") / f"{modality}.parquet", table, facts)

    labels = np.asarray(splits["label"].to_pylist())
    features = Features(blocks, present, scales, labels, kinds, components)
    drawn = np.random.default_rng(params.seed).permutation(np.flatnonzero(features.seen()))
    chosen = features.where(drawn[:PLOTTED])
    training = np.array([row[0] != "test" for row in splits["parts"].to_pylist()])[drawn[:PLOTTED]]
    try:
        projected = projection.fit(chosen.where(training), params.seed).apply(chosen)
    except InputError as error:
        raise InputError(f"{modality}: {error}") from None
    points = principal_components(projected.matrix(), training, params.seed)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["x", "y", "label"])
    for (x, y), label in zip(points, chosen.labels, strict=True):
        writer.writerow([f"{x:.4f}", f"{y:.4f}", label])
    write_text(Path("plots/pca") / f"{modality}.csv", buffer.getvalue())
    missing = {name: int((~there).sum()) for name, there in present.items()}
    print(f"{modality}: {len(splits)} products, sizes {sizes}, missing {missing}")


if __name__ == "__main__":
    run_stage(main)
