"""The tables behind the plots and about mistakes: rows for CSV files."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.common.errors import InputError
from stages.evaluation.calibration_error import reliability_bins
from stages.evaluation.metrics import class_scores, confusion_counts
from stages.evaluation.model_metrics import (
    PRIMARY_METRICS,
    Intervals,
    ends,
    rounded,
    weights_in_words,
)
from stages.evaluation.model_selection import best_between_modalities
from stages.evaluation.predictions import Model, PredictionSet
from stages.evaluation.selective import risk_coverage_curve

COVERAGES = [percent / 100 for percent in range(1, 101)]  # on the risk-coverage curves
MAX_PAIRS = 20  # of confused classes
EXAMPLES = 3  # of each pair
HISTORY = [
    *("fold", "epoch", "train_loss", "validation_loss", "train_accuracy"),
    "validation_accuracy",
]

Row = dict[str, Any]


class Table(NamedTuple):
    """The columns of a CSV file, and rows with a value for each."""

    columns: Sequence[str]
    rows: Sequence[Row]


def plot_tables(
    models: Sequence[Model],
    best: Mapping[str, Model],
    intervals: Intervals,
    names: Mapping[str, str],
) -> dict[str, Table]:
    """Return the tables of the plots by name, but the learning curves.

    `best` has the best model of each modality, `names` the product names by sku.
    """
    return {
        "models": models_table(models, intervals),
        "per_class": per_class_table(best),
        "calibration": calibration_table(best),
        "coverage": coverage_table(best),
        "confused_pairs": confused_pairs_table(best_between_modalities(best.values()), names),
        **{f"confusion/{modality}": confusion_table(model) for modality, model in best.items()},
    }


def models_table(models: Iterable[Model], intervals: Intervals) -> Table:
    """Return a row per model: the comparison of modalities and classifiers."""
    rows = []
    for model in models:
        row: Row = {"modality": model.modality, "classifier": model.classifier}
        for key in PRIMARY_METRICS:
            low, high = ends(intervals[model.name][key]).values()
            value = rounded(model.test_scores)[key]
            row |= {key: value, f"{key}_low": low, f"{key}_high": high}
        rows.append(row | {"weights": weights_in_words(model.weights)})
    columns = ["modality", "classifier"]
    for key in PRIMARY_METRICS:
        columns += [key, f"{key}_low", f"{key}_high"]
    return Table([*columns, "weights"], rows)


def per_class_table(best: Mapping[str, Model]) -> Table:
    """Return a row per class and modality, the largest classes first; empty where 0/0."""
    metrics = ("f1", "precision", "recall")
    rows: list[Row] = []
    for modality, model in best.items():
        by_class = class_scores(model.test.calibrated)
        for i, name in enumerate(model.test.calibrated.classes):
            values = {key: float(getattr(by_class, key)[i]) for key in metrics}
            rows.append(
                {
                    "class": name,
                    "modality": modality,
                    "model": model.classifier,
                    **{key: "" if np.isnan(v) else round(v, 4) for key, v in values.items()},
                    "support": int(by_class.support[i]),
                }
            )
    largest: dict[str, int] = {}
    for row in rows:
        largest[row["class"]] = max(row["support"], largest.get(row["class"], 0))
    rows.sort(key=lambda row: (-largest[row["class"]], row["class"]))
    return Table(["class", "modality", "model", *metrics, "support"], rows)


def confusion_table(model: Model) -> Table:
    """Return a row per label and prediction that occur together, and one per class with itself.

    `share` is of the label's products.
    """
    counts = confusion_counts(model.test.calibrated)
    support = counts.sum(axis=1)
    names = model.test.calibrated.classes
    rows = [
        {
            "actual": names[actual],
            "predicted": names[predicted],
            "products": int(counts[actual, predicted]),
            "share": round(float(counts[actual, predicted] / max(support[actual], 1)), 4),
            "model": model.classifier,
        }
        for actual, predicted in np.argwhere((counts > 0) | np.eye(len(names), dtype=bool)).tolist()
    ]
    return Table(["actual", "predicted", "products", "share", "model"], rows)


def calibration_table(best: Mapping[str, Model]) -> Table:
    """Return the points of the reliability diagrams, before and after calibration."""
    rows = []
    for modality, model in best.items():
        test = model.test
        for when, predictions in (("before", test.uncalibrated), ("after", test.calibrated)):
            bins = reliability_bins(predictions)
            rows += [
                {
                    "modality": modality,
                    "model": model.classifier,
                    "probabilities": f"{when} calibration",
                    "confidence": round(float(confidence), 4),
                    "accuracy": round(float(accuracy), 4),
                    "products": int(products),
                }
                for confidence, accuracy, products in zip(
                    bins.confidence, bins.accuracy, bins.products, strict=True
                )
            ]
    columns = ["modality", "model", "probabilities", "confidence", "accuracy", "products"]
    return Table(columns, rows)


def coverage_table(best: Mapping[str, Model]) -> Table:
    """Return the points of the risk-coverage curves."""
    rows = [
        {
            "modality": modality,
            "model": model.classifier,
            "coverage": coverage,
            "risk": round(risk, 4) + 0.0,
        }
        for modality, model in best.items()
        for coverage, risk in zip(
            COVERAGES, risk_coverage_curve(model.test.calibrated, COVERAGES), strict=True
        )
    ]
    return Table(["modality", "model", "coverage", "risk"], rows)


def confused_pairs_table(model: Model, names: Mapping[str, str]) -> Table:
    """Return the pairs of classes that a model confuses most, with examples of each.

    `names` has product names by sku; `share` is of the label's products.
    """
    classes = model.test.calibrated.classes
    support = np.bincount(model.test.calibrated.y_true, minlength=len(classes))
    examples = [f"example_{number}" for number in range(1, EXAMPLES + 1)]
    rows = []
    for label, prediction, products, mistakes in confused_pairs(model.test):
        shown = [f"{sku} {names[sku]}" for sku in model.test.skus[mistakes].tolist()]
        shown += [""] * (EXAMPLES - len(shown))
        rows.append(
            {
                "label": classes[label],
                "prediction": classes[prediction],
                "products": products,
                "share": round(float(products / support[label]), 4),
                **dict(zip(examples, shown, strict=True)),
            }
        )
    return Table(["label", "prediction", "products", "share", *examples], rows)


def confused_pairs(products: PredictionSet) -> list[tuple[int, int, int, np.ndarray]]:
    """Return the most frequent mistakes as (label, prediction, number of products, examples).

    There are at most MAX_PAIRS. Label and prediction are indices of classes. Examples are indices
    of products, int64 of shape (at most EXAMPLES,), the most confident first.
    """
    counts = confusion_counts(products.calibrated)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:MAX_PAIRS]
    mistakes = confident_mistakes(products)
    y_true, y_pred = products.calibrated.y_true[mistakes], products.calibrated.y_pred[mistakes]
    pairs = []
    for label, prediction in zip(*np.unravel_index(order, counts.shape), strict=True):
        if counts[label, prediction]:
            examples = mistakes[(y_true == label) & (y_pred == prediction)][:EXAMPLES]
            pairs.append((int(label), int(prediction), int(counts[label, prediction]), examples))
    return pairs


def confident_mistakes(products: PredictionSet) -> np.ndarray:
    """Return the indices of the mistakes, the most confident first: int64."""
    wrong = np.flatnonzero(~products.calibrated.correct)
    return wrong[np.argsort(-products.calibrated.confidence[wrong], kind="stable")]


def learning_curves_table(folder: Path, models: Iterable[Model]) -> Table:
    """Return a row per epoch of each model in `folder` that was fitted in epochs.

    Raises InputError where a history has other columns.
    """
    rows = []
    for model in models:
        path = folder / model.classifier / model.modality / "history.csv"
        if not path.exists():
            continue
        epochs = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        if not epochs or list(epochs[0]) != HISTORY:
            raise InputError(f"{path} has no epochs with the columns {', '.join(HISTORY)}")
        names = {"modality": model.modality, "classifier": model.classifier}
        rows += [names | epoch for epoch in epochs]
    return Table(["modality", "classifier", *HISTORY], rows)


def guessing_models(curves: Table, models: Iterable[Model]) -> list[str]:
    """Return the models with a fold in which no epoch was better than a guess, by learning curves.

    A guess gives each class the same probability. Such a loss, of training and of validation
    products alike, is that of a network whose steps are far too large, or too few.
    """
    least: dict[tuple[str, str, str], float] = {}
    for row in curves.rows:
        key = row["modality"], row["classifier"], row["fold"]
        losses = [float(row[name]) for name in ("train_loss", "validation_loss") if row[name]]
        least[key] = min(least.get(key, np.inf), *losses)
    return [
        model.name
        for model in models
        if any(
            loss >= np.log(len(model.test.calibrated.classes))
            for key, loss in least.items()
            if key[:2] == (model.modality, model.classifier)
        )
    ]
