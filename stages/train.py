"""Train one classifier on every modality in each fold, and predict for the held-out products.

Reads data/splits.parquet and data/features.parquet, and data/products.parquet, data/images/ and
data/weights/ for a classifier that tunes or runs an encoder's network; writes
models/trained/<classifier>/: for each modality a model per fold, what the model is that new
products are sorted by (model.json), and the folds' probabilities for the validation and test
products that they can see; for test products that have image and text also without one. New
products are sorted by the model of the only fold; with several folds, or with `train.refit`, by one
that is fitted to all products, in the folder `all`. Modalities are one stage: they share members.
"""

import argparse
from itertools import islice
from pathlib import Path

from stages.common import paths
from stages.common.files import atomic_folder, md5_of, write_csv
from stages.common.process import run_stage
from stages.common.splits import TEST, VALIDATION, Splits, read_splits
from stages.common.tables import PRODUCTS, read_table, write_table
from stages.compute.local import Sizes
from stages.compute.selection import select_runner
from stages.fusion.features import FeaturesReader, check_skus, read_metadata
from stages.fusion.fitting import History, Reader, Task
from stages.fusion.inputs import InputReader, input_blocks
from stages.fusion.members import plan_members
from stages.fusion.model import FusedModel
from stages.fusion.out_of_fold import (
    HeldOutPredictions,
    count_without_input,
    learning_curves,
    predict_test,
    prediction_table,
)
from stages.fusion.saved_model import ALL, describe
from stages.fusion.training import TrainedModel, fit_models
from stages.params import load_params


def main() -> None:
    """Train the classifier that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", required=True, help="under `classifiers` in params.yaml")
    name = parser.parse_args().classifier
    params = load_params()
    splits = read_splits()
    metadata = read_metadata(paths.FEATURES)
    check_skus(paths.FEATURES, splits.skus)
    settings, strategy = params.classifiers[name], params.fusion.strategy
    read: Reader = FeaturesReader(paths.FEATURES, splits.labels)
    files = [paths.FEATURES, *map(paths.weights, settings.reads_weights_of)]
    if encoders := settings.reads_inputs_of:
        products = read_table(paths.PRODUCTS, PRODUCTS)
        read = inputs = InputReader(read, input_blocks(encoders, metadata, products))
        files += inputs.files
    plan = plan_members(metadata, strategy)
    classes = sorted(set(splits.labels.tolist()))
    task = Task(name, settings, strategy, params.seed, plan, classes)
    provenance = {f"md5 of {path}": md5_of(path) for path in (paths.FEATURES, paths.SPLITS)}
    is_refit = params.train.refit or splits.n_folds > 1
    n = len(splits.labels)
    own, kind = settings.bytes_for(n), (bool(encoders), settings.may_use_gpu, settings.stops_early)
    sizes = Sizes(metadata.bytes_of(n), 4 * n * len(classes), own, *kind)
    run = select_runner(params.compute, params.jobs, sizes, files)
    held_out: dict[str, list[HeldOutPredictions]] = {modality: [] for modality in plan}
    with atomic_folder(paths.MODELS / name) as folder:
        fits = fit_models(task, read, splits.roles, splits.turns, is_refit, run)
        histories: dict[str, list[History]] = {modality: [] for modality in plan}
        for fold, models in enumerate(islice(fits, splits.n_folds), start=1):
            for modality, predictions in save_fold(models, read, splits, fold, folder).items():
                held_out[modality] += predictions
                histories[modality].append(models[modality].history)
        for modality, trained in (next(fits) if is_refit else models).items():
            place = folder / modality
            if is_refit:
                trained.model.save(place / ALL)
            served = ALL if is_refit else "fold-1"
            saved = describe(
                task, metadata, trained, splits.labels, splits.groups, served, modality, provenance
            )
            saved.save(place)
            if curves := learning_curves(histories[modality]):
                write_csv(place / "history.csv", list(curves[0]), curves)
            kinds = {
                block: metadata.encoders[block]["weights"]["kind"]
                for block in trained.block_weights
            }
            described = {
                "classes": classes,
                "weights": kinds,
                "n_without_input": count_without_input(splits, held_out[modality]),
            }
            table = prediction_table(splits, classes, held_out[modality])
            write_table(place / "probabilities.parquet", table, described)


def save_fold(
    models: dict[str, TrainedModel], read: Reader, splits: Splits, fold: int, folder: Path
) -> dict[str, list[HeldOutPredictions]]:
    """Save a fold's models; return what they predict for held-out products, by modality.

    Test products are predicted by the model that was saved.
    """
    is_test = splits.roles[:, fold - 1] == TEST
    seen = {name: one for model in models.values() for name, one in model.block_weights.items()}
    test, rows = read(is_test, seen), is_test.nonzero()[0]
    found = {}
    for modality, trained in models.items():
        place = folder / modality / f"fold-{fold}"
        trained.model.save(place)
        model = FusedModel.load(place)
        known = model.classes
        validated = HeldOutPredictions(trained.rows, trained.validation, known, fold, VALIDATION)
        tested = predict_test(model, test.select_blocks(trained.block_weights), rows, fold)
        found[modality] = [validated, *tested]
    return found


if __name__ == "__main__":
    run_stage(main)
