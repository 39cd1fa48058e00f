"""Train one classifier on every modality in each fold, and predict for the held-out products.

Reads data/splits.parquet and data/features.parquet; writes models/<classifier>/: for each modality
a model per fold, what they were made from (model.json), and their probabilities for the validation
and test products that they can see; for test products that have image and text also without one.
The modalities are one stage, for their models have members in common.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from stages.common import paths
from stages.common.errors import InputError
from stages.common.files import atomic_folder, sha256_of, write_csv, write_json
from stages.common.process import run_stage
from stages.common.splits import TEST, VALIDATION, Splits, read_splits
from stages.common.tables import write_table
from stages.fusion.features import check_skus, read_features, read_metadata
from stages.fusion.members import plan_members
from stages.fusion.model import FusedModel
from stages.fusion.out_of_fold import (
    HeldOutPredictions,
    count_without_input,
    learning_curves,
    predict_test,
    prediction_table,
)
from stages.fusion.training import History, Reader, Task, fit_fold
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
    read = partial(read_features, paths.FEATURES, metadata.seen_blocks, splits.labels)
    settings, strategy = params.classifiers[name], params.fusion.strategy
    plan, classes = plan_members(metadata, strategy), sorted(set(splits.labels.tolist()))
    task = Task(name, settings, strategy, params.seed, plan, classes)
    provenance = {
        "classifier": {**settings.model_dump(mode="json"), "kind": name},
        "fusion": strategy,
        "seed": params.seed,
        "features_sha256": sha256_of(paths.FEATURES),
        "classes": classes,
    }
    held_out: dict[str, list[HeldOutPredictions]] = {modality: [] for modality in plan}
    histories: dict[str, list[History]] = {modality: [] for modality in plan}
    with atomic_folder(paths.MODELS / name) as folder:
        for fold in range(1, splits.n_folds + 1):
            for modality, history, predictions in train_fold(task, read, splits, fold, folder):
                histories[modality].append(history)
                held_out[modality] += predictions
        for modality, predictions in held_out.items():
            encoders = {block: metadata.encoders[block] for block in metadata.modalities[modality]}
            write_json(folder / modality / "model.json", provenance | {"encoders": encoders})
            if curves := learning_curves(histories[modality]):
                write_csv(folder / modality / "history.csv", list(curves[0]), curves)
            described = {
                "classes": classes,
                "weights": {block: weights["kind"] for block, weights in encoders.items()},
                "n_without_input": count_without_input(splits, predictions),
            }
            table = prediction_table(splits, classes, predictions)
            write_table(folder / modality / "probabilities.parquet", table, described)


def train_fold(
    task: Task, read: Reader, splits: Splits, fold: int, folder: Path
) -> Iterator[tuple[str, History, list[HeldOutPredictions]]]:
    """Fit and save a fold's models; yield each modality, its history and its predictions.

    Test products are predicted by the model that was saved. Raises InputError naming the fold.
    """
    roles, turns = splits.roles[:, fold - 1], splits.turns[:, fold - 1]
    try:
        trained = fit_fold(task, read, roles, turns)
    except InputError as error:
        raise InputError(f"fold {fold}, {error}") from None
    test, rows = read(roles == TEST)
    for modality, fitted in trained.items():
        place = folder / modality / f"fold-{fold}"
        fitted.model.save(place)
        model = FusedModel.load(place)
        known = model.classes
        of_validation = HeldOutPredictions(fitted.rows, fitted.validation, known, fold, VALIDATION)
        of_test = predict_test(model, test.select_blocks(fitted.block_weights), rows, fold)
        yield modality, fitted.history, [of_validation, *of_test]


if __name__ == "__main__":
    run_stage(main)
