"""Put the encoders' embeddings side by side, each scaled to unit length.

Reads data/splits.parquet and data/embeddings/; writes data/features.parquet: a row per product, a
block per encoder, null where a product lacks its input, and what each modality sees of it; and
plots/pca/<modality>.csv. What no product has is left out, and so are the modalities that need it.
Embeddings and networks of encoders that params.yaml no longer names are removed, and their weights
put aside.

Scaling is what makes fusion pay: in a plain concatenation, or a standardised one, the encoder with
the most or the largest numbers drowns the others. What is fitted to a block is fitted in `train`,
to the training products of each fold.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from stages.common import paths
from stages.common.errors import InputError
from stages.common.files import atomic_folder, write_csv
from stages.common.process import run_stage
from stages.common.splits import TEST, read_splits
from stages.common.tables import features_schema, write_batches
from stages.fusion import pca_plot
from stages.fusion.embedding_tables import (
    has_vectors,
    open_embeddings,
    read_vectors,
    remove_orphans,
)
from stages.fusion.orphans import remove_unnamed_networks, set_aside_unnamed_weights
from stages.fusion.settings import block_weights
from stages.fusion.usable import omissions, usable_modalities
from stages.params import load_params

PCA = paths.PLOTS / "pca"


def main() -> None:
    """Fuse the embeddings of all encoders that params.yaml names."""
    params = load_params()
    splits = read_splits()
    blocks = params.blocks()
    files = {name: paths.embeddings(block.input, block.encoder) for name, block in blocks.items()}
    remove_orphans(files.values())
    encoders = [block.encoder for block in blocks.values()]
    set_aside_unnamed_weights(paths.WEIGHTS, encoders)
    remove_unnamed_networks(paths.NETWORKS, encoders)
    found = {name: open_embeddings(file, splits.skus) for name, file in files.items()}
    empty = [name for name, table in found.items() if not has_vectors(table)]
    seen = {modality: params.blocks_of(modality) for modality in params.modalities}
    weights = {
        modality: block_weights(params.fusion, own)
        for modality, own in usable_modalities(seen, empty).items()
    }
    blocks = {name: block for name, block in blocks.items() if name not in empty}
    found = {name: found[name] for name in blocks}
    sparse = [name for name, table in found.items() if table.is_sparse]
    metadata = {
        "encoders": {name: table.encoder for name, table in found.items()},
        "inputs": {name: block.input for name, block in blocks.items()},
        "n_features": {name: table.n_features for name, table in found.items()},
        "svd_components": dict.fromkeys(sparse, params.fusion.svd_components),
        "modalities": weights,
    }
    sizes = {name: None if table.is_sparse else table.n_features for name, table in found.items()}
    schema = features_schema(sizes)
    present: dict[str, list[np.ndarray]] = {name: [] for name in blocks}

    def batches() -> Iterator[pa.Table]:
        start = 0
        for batch in zip(*map(read_vectors, found.values()), strict=True):
            for name, (_, there) in zip(blocks, batch, strict=True):
                present[name].append(there)
            end = start + len(batch[0][1])
            skus = pa.array(splits.skus[start:end].tolist())
            yield pa.table([skus, *(vectors for vectors, _ in batch)], schema=schema)
            start = end

    write_batches(paths.FEATURES, schema, batches(), metadata)
    has = {name: np.concatenate(parts) for name, parts in present.items()}
    training = splits.roles[:, 0] != TEST
    with atomic_folder(PCA) as folder:
        for modality, own in weights.items():
            try:
                points = pca_plot.pca_points(
                    own, has, splits.skus, splits.labels, training, params.seed
                )
            except InputError as error:
                raise InputError(f"{modality}: {error}") from None
            write_csv(folder / f"{modality}.csv", pca_plot.COLUMNS, points)
    missing = {name: int((~there).sum()) for name, there in has.items()}
    print(f"{len(splits.skus)} products, sizes {sizes}, missing {missing}")
    for line in omissions(seen, empty):
        print(f"fuse: {line}")


if __name__ == "__main__":
    run_stage(main)
