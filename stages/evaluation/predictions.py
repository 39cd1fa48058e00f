"""What a trained model predicts for held-out products: read from train, written for users."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.common.errors import InputError
from stages.common.tables import (
    check_schema,
    from_arrow,
    metadata_of,
    probabilities_schema,
    read_table,
)
from stages.evaluation.metrics import LabeledPredictions, scores

PREDICTIONS = pa.schema(
    [
        pa.field("sku", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("prediction", pa.string(), nullable=False),
        pa.field("probability", pa.float32(), nullable=False),  # of the prediction
        pa.field("top3", pa.list_(pa.string()), nullable=False),  # most probable first
    ]
)

Scores = dict[str, float]


@dataclass(frozen=True)
class PredictionSet:
    """Predictions for held-out products, with their labels, groups and folds.

    `skus`, `groups` (str) and `folds` (int32, from 1) are of shape (n,). `calibrated` has the
    probabilities that users see, `uncalibrated` those before calibration.
    """

    skus: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    calibrated: LabeledPredictions
    uncalibrated: LabeledPredictions

    def __len__(self) -> int:
        """Return the number of products."""
        return len(self.skus)

    def select_rows(self, rows: np.ndarray) -> "PredictionSet":
        """Return the products that `rows` selects, a boolean mask or indices."""
        return PredictionSet(
            self.skus[rows],
            self.groups[rows],
            self.folds[rows],
            self.calibrated.select_rows(rows),
            self.uncalibrated.select_rows(rows),
        )


@dataclass(frozen=True)
class Model:
    """A trained model and its predictions for held-out products.

    With several folds `validation` has a row per fold and product; each product is in `test` once.
    `ablated` has test products again, predicted without their image or without their text.
    """

    modality: str
    classifier: str
    validation: PredictionSet
    test: PredictionSet
    ablated: dict[str, PredictionSet]  # by the input that was hidden: image or text
    n_without_input: int  # test products that have none of the modality's inputs
    weights: dict[str, str]  # the kind of weights by encoder
    n_validation_without_input: int = 0

    @property
    def name(self) -> str:
        """The model's name in plots and predictions."""
        return f"{self.modality}-{self.classifier}"

    @cached_property
    def test_scores(self) -> Scores:
        """The metrics of all test products."""
        return scores(self.test.calibrated)

    @property
    def validation_share(self) -> float:
        """The share of the validation products that have an input of the modality."""
        n_seen = len(np.unique(self.validation.skus))
        return n_seen / (n_seen + self.n_validation_without_input)

    @cached_property
    def validation_scores(self) -> Scores:
        """The means of the folds' metrics: a product may be held out in several folds."""
        folds = self.validation.folds
        by_fold = [
            scores(self.validation.calibrated.select_rows(folds == fold))
            for fold in np.unique(folds)
        ]
        return {key: float(np.mean([found[key] for found in by_fold])) for key in by_fold[0]}


def trained_modalities(
    folder: Path, modalities: Iterable[str], classifiers: Collection[str]
) -> list[str]:
    """Return the modalities of which there are models in `folder`, and print the others.

    The others have none where no product has their inputs. Raises InputError where all are such.
    """
    trained: list[str] = []
    untrained: list[str] = []
    for modality in modalities:
        has_model = any((folder / name / modality).is_dir() for name in classifiers)
        (trained if has_model else untrained).append(modality)
    if not trained:
        raise InputError(f"{folder} holds no model that params.yaml names: `dvc repro` trains them")
    if untrained:
        print(f"evaluate: no model was trained of {', '.join(untrained)}: fuse said why")
    return trained


def load_model(folder: Path, modality: str, classifier: str) -> Model:
    """Read the predictions of a classifier's model of a modality in `folder`.

    Raises InputError where the table is missing or malformed, or a fold has no validation or no
    test products.
    """
    path = folder / "probabilities.parquet"
    table = read_table(path)
    metadata = metadata_of(table.schema)
    missing = [key for key in ("classes", "weights", "n_without_input") if key not in metadata]
    if missing:
        raise InputError(f"{path} lacks the metadata {missing[0]}: `dvc repro -f` rebuilds it")
    check_schema(path, table.schema, probabilities_schema(len(metadata["classes"])))
    role, ablated = (
        np.array(table[name].to_pylist(), dtype=str) for name in ("role", "ablated_modality")
    )
    rows = _prediction_set(table, metadata["classes"])
    held_out = {name: (role == name) & (ablated == "") for name in ("validation", "test")}
    for name, chosen in held_out.items():
        for fold in np.unique(rows.folds) if len(rows) else [1]:
            if not (rows.folds[chosen] == fold).any():
                several = name == "test" and len(np.unique(rows.folds)) > 1
                fix = "lower split.folds" if several else f"raise split.{name}"
                raise InputError(
                    f"{path} has no {name} product in fold {fold}: {fix} in params.yaml, give "
                    f"more products, or leave {modality} out of modalities"
                )
    return Model(
        modality=modality,
        classifier=classifier,
        validation=rows.select_rows(held_out["validation"]),
        test=rows.select_rows(held_out["test"]),
        ablated={
            name: rows.select_rows(ablated == name)
            for name in ("image", "text")
            if (ablated == name).any()
        },
        n_without_input=metadata["n_without_input"]["test"],
        weights=metadata["weights"],
        n_validation_without_input=metadata["n_without_input"]["validation"],
    )


def _prediction_set(table: pa.Table, classes: Sequence[str]) -> PredictionSet:
    """Convert a table of schema probabilities_schema."""
    labels = table["label"].to_pylist()
    # Objects, as in read_splits: an array of fixed width drops a null character at the end.
    skus, groups = (np.array(table[name].to_pylist(), dtype=object) for name in ("sku", "group"))
    calibrated, uncalibrated = (
        LabeledPredictions.from_labels(classes, labels, from_arrow(table[name])[0])
        for name in ("probabilities", "uncalibrated")
    )
    return PredictionSet(skus, groups, table["fold"].to_numpy(), calibrated, uncalibrated)


def concatenate(first: PredictionSet, second: PredictionSet) -> PredictionSet:
    """Return the products of two sets of one model, the first set's first."""

    def both(above: LabeledPredictions, below: LabeledPredictions) -> LabeledPredictions:
        return LabeledPredictions(
            above.classes,
            np.concatenate([above.y_true, below.y_true]),
            np.concatenate([above.probabilities, below.probabilities]),
        )

    return PredictionSet(
        np.concatenate([first.skus, second.skus]),
        np.concatenate([first.groups, second.groups]),
        np.concatenate([first.folds, second.folds]),
        both(first.calibrated, second.calibrated),
        both(first.uncalibrated, second.uncalibrated),
    )


def prediction_table(model: Model, names: Mapping[str, str]) -> pa.Table:
    """Return a model's predictions for its test products; `names` has product names by sku."""
    test, skus = model.test.calibrated, model.test.skus.tolist()
    classes = np.array(test.classes)
    columns = [
        skus,
        [names[sku] for sku in skus],
        classes[test.y_true].tolist(),
        classes[test.y_pred].tolist(),
        test.confidence.astype(np.float32),
        classes[test.most_probable(3)].tolist(),
    ]
    arrays = [
        pa.array(column, type=field.type)
        for column, field in zip(columns, PREDICTIONS, strict=True)
    ]
    return pa.table(arrays, schema=PREDICTIONS)
