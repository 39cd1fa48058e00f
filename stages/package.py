"""Package the best model, so that it sorts new products wherever it is copied.

Reads metrics/summary.json, which names it, its metrics, its folder in models/trained/ or
models/ensemble/, and its encoders' weights; writes models/best/: the model, its encoders with their
weights, an index of training products to compare predictions with, and a card (README.md).
"""

import shutil
from pathlib import Path

from stages.common import paths
from stages.common.errors import InputError
from stages.common.files import atomic_folder, md5_of, read_json, write_text
from stages.common.process import run_stage
from stages.common.splits import is_training_part, read_splits
from stages.common.tables import PRODUCTS, read_table, write_table
from stages.encoders.weights.manifest import read_manifest
from stages.fusion.features import read_features
from stages.fusion.model_file import ENCODERS, NEIGHBORS, ModelFile
from stages.fusion.preprocessing import BlockPreprocessor
from stages.packaging.model_card import model_card
from stages.packaging.neighbors import (
    neighbor_vectors,
    neighbors_table,
    read_thumbnails,
    sample_rows,
)
from stages.params import load_params

NOT_COLUMNS = {
    "path",
    "sheet",
    "encoding",
    "archive",
}  # an archive's URL may be signed: a model goes round


def main() -> None:
    """Write models/best/."""
    params = load_params()
    data = params.data
    columns = data.table.model_dump(exclude=NOT_COLUMNS) if data.source == "table" else None
    modality, classifier = read_json(paths.METRICS / "summary.json")["best_model"].split("-")
    source = paths.model(classifier, modality)
    model = ModelFile.load(source)
    products = f"md5 of {paths.PRODUCTS}"
    model = model.model_copy(
        update={
            "evaluation": read_json(paths.METRICS / "models.json")[modality][classifier],
            "table": columns,
            "provenance": {**model.provenance, products: md5_of(paths.PRODUCTS)},
        }
    )
    with atomic_folder(paths.BEST_MODEL) as folder:
        shutil.copytree(source / model.folder, folder / model.folder)
        for name, encoder in model.encoders.items():
            is_int8 = encoder.precision == "int8"
            weights = paths.network(name) if is_int8 else paths.weights(name)
            if read_manifest(weights).summary() != encoder.weights.model_dump():
                raise InputError(f"{weights} are not the weights of {model.name}: run `dvc repro`")
            shutil.copytree(weights, folder / ENCODERS / name)
        n_neighbors = write_neighbors(model, folder)
        model.with_sums(folder).save(folder)
        write_text(folder / "README.md", model_card(model, data.source))
    print(
        f"{paths.BEST_MODEL}: {model.name}, {len(model.labels)} classes, {n_neighbors:,} neighbours"
    )


def write_neighbors(model: ModelFile, folder: Path) -> int:
    """Write the index of the products that the model was fitted to; return how many it has."""
    splits = read_splits()
    is_training = is_training_part(splits.roles[:, 0], splits.turns[:, 0]) | model.is_refit
    chosen = sample_rows(is_training, model.seed)
    block_weights = {name: block.weight for name, block in model.blocks.items()}
    features, rows = read_features(paths.FEATURES, block_weights, splits.labels, chosen)
    vectors = neighbor_vectors(BlockPreprocessor.load(folder / model.folder), features)
    products = read_table(paths.PRODUCTS, PRODUCTS)
    names = dict(zip(*(products[key].to_pylist() for key in ("sku", "name")), strict=True))
    skus = splits.skus[rows].tolist()
    thumbnails = read_thumbnails(paths.image_shards(), skus)
    table = neighbors_table(skus, names, features.labels.tolist(), vectors, thumbnails)
    write_table(folder / NEIGHBORS, table, {"blocks": list(block_weights)})
    return len(skus)


if __name__ == "__main__":
    run_stage(main)
