"""Pool the models of several classifiers into one more model of each modality.

Reads models/trained/; writes models/ensemble/<modality>/ as `train` writes a model: what the pool
predicts for held-out products (probabilities.parquet), what the model is (model.json), and the
models that are pooled. Nothing is written where fewer than two classifiers are to be pooled.
"""

from stages.common import paths
from stages.common.files import atomic_folder
from stages.common.process import run_stage
from stages.common.tables import metadata_of, read_table, write_table
from stages.fusion.ensemble_training import describe_ensemble, pool_tables, save_ensemble
from stages.fusion.model_file import ModelFile
from stages.fusion.orphans import remove_unnamed_models
from stages.params import load_params


def main() -> None:
    """Pool the models that params.yaml names."""
    params = load_params()
    remove_unnamed_models(paths.MODELS, params.classifiers)
    names = params.ensemble_members()
    with atomic_folder(paths.ENSEMBLE) as folder:
        if len(names) < 2:
            asked, trained = (", ".join(some) for some in (params.ensemble.classifiers, names))
            why = f"names {asked}, of which {trained or 'none'} is trained: two are needed"
            print(f"ensemble: left out: ensemble.classifiers {why if asked else 'is empty'}")
            return
        for modality in params.modalities:
            sources = {name: paths.model(name, modality) for name in names}
            if not any(source.is_dir() for source in sources.values()):
                continue  # no product has its inputs: fuse said so
            tables = {
                name: read_table(source / "probabilities.parquet")
                for name, source in sources.items()
            }
            pooled = pool_tables(tables)
            found = {name: ModelFile.load(source) for name, source in sources.items()}
            model = describe_ensemble(found, pooled)
            place = folder / modality
            fitted = {name: source / model.folder for name, source in sources.items()}
            (place / model.folder).mkdir(parents=True)
            save_ensemble(place / model.folder, fitted, model.labels, pooled.pool)
            model.save(place)
            metadata = metadata_of(next(iter(tables.values())).schema)
            write_table(place / "probabilities.parquet", pooled.table, metadata)
            parts = ", ".join(f"{name} {one:.2f}" for name, one in pooled.pool.weights.items())
            print(f"{modality}: trust in {parts}")


if __name__ == "__main__":
    run_stage(main)
