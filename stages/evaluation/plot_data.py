"""The tables behind the plots, and those that are read as they are: rows for CSV files."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from stages.evaluation.calibration_error import reliability
from stages.evaluation.metrics import confusion, per_class
from stages.evaluation.mistakes import EXAMPLES, confused_pairs
from stages.evaluation.model_metrics import COMPARED, Intervals, ends, rounded, weights_in_words
from stages.evaluation.predictions import Model
from stages.evaluation.selective import curve

SHARES = [share / 100 for share in range(1, 101)]  # of products, on the curves of coverage

COLUMNS = {
    "models": [
        *("modality", "classifier", "accuracy", "accuracy_low", "accuracy_high"),
        *("macro_f1", "macro_f1_low", "macro_f1_high", "weights"),
    ],
    "per_class": ["class", "modality", "model", "f1", "precision", "recall", "support"],
    "confusion": ["actual", "predicted", "products", "share", "model"],
    "calibration": ["modality", "model", "probabilities", "confidence", "accuracy", "products"],
    "coverage": ["modality", "model", "coverage", "risk"],
    "confused_pairs": [
        *("label", "prediction", "products", "share"),
        *(f"example_{at}" for at in range(1, EXAMPLES + 1)),
    ],
}

Row = dict[str, Any]


def model_rows(models: Iterable[Model], intervals: Intervals) -> list[Row]:
    """Return a row per model: the comparison of modalities and classifiers."""
    rows = []
    for model in models:
        row: Row = {"modality": model.modality, "classifier": model.classifier}
        for key in COMPARED:
            low, high = ends(intervals[model.name][key]).values()
            value = rounded(model.test_scores)[key]
            row |= {key: value, f"{key}_low": low, f"{key}_high": high}
        rows.append(row | {"weights": weights_in_words(model.weights)})
    return rows


def class_rows(best: Mapping[str, Model]) -> list[Row]:
    """Return a row per class and modality, the largest classes first; empty where 0/0."""
    rows = []
    for modality, model in best.items():
        each = per_class(model.test.judged)
        for at, name in enumerate(model.test.judged.classes):
            figures = {key: getattr(each, key)[at] for key in ("f1", "precision", "recall")}
            rows.append(
                {
                    "class": name,
                    "modality": modality,
                    "model": model.classifier,
                    **{
                        key: "" if np.isnan(value) else round(float(value), 4)
                        for key, value in figures.items()
                    },
                    "support": int(each.support[at]),
                }
            )
    largest: dict[str, int] = {}
    for row in rows:
        largest[row["class"]] = max(row["support"], largest.get(row["class"], 0))
    return sorted(rows, key=lambda row: (-largest[row["class"]], row["class"]))


def confusion_rows(model: Model) -> list[Row]:
    """Return a row per label and prediction that occur together, and one per class with itself.

    `share` is of the label's products.
    """
    counts = confusion(model.test.judged)
    support = counts.sum(axis=1)
    names = model.test.judged.classes
    return [
        {
            "actual": names[actual],
            "predicted": names[predicted],
            "products": int(counts[actual, predicted]),
            "share": round(float(counts[actual, predicted] / max(support[actual], 1)), 4),
            "model": model.classifier,
        }
        for actual in range(len(names))
        for predicted in range(len(names))
        if counts[actual, predicted] or actual == predicted
    ]


def calibration_rows(best: Mapping[str, Model]) -> list[Row]:
    """Return the points of the reliability diagrams, before and after calibration."""
    rows = []
    for modality, model in best.items():
        for when, judged in (("before", model.test.uncalibrated), ("after", model.test.judged)):
            bins = reliability(judged)
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
    return rows


def coverage_rows(best: Mapping[str, Model]) -> list[Row]:
    """Return the points of the curves of mistakes among the most confident products."""
    return [
        {
            "modality": modality,
            "model": model.classifier,
            "coverage": share,
            "risk": round(risk, 4) + 0.0,
        }
        for modality, model in best.items()
        for share, risk in zip(SHARES, curve(model.test.judged, SHARES), strict=True)
    ]


def pair_rows(model: Model, names: Mapping[str, str]) -> list[Row]:
    """Return the pairs of classes that a model confuses most, with examples of each.

    `names` has the products' names by sku; `share` is of the label's products.
    """
    judged = model.test.judged
    counts = confusion(judged)
    rows = []
    for label, prediction, examples in confused_pairs(model.test):
        products = counts[label, prediction]
        shown = [f"{sku} {names[sku]}" for sku in model.test.skus[examples].tolist()]
        shown += [""] * (EXAMPLES - len(shown))
        rows.append(
            {
                "label": judged.classes[label],
                "prediction": judged.classes[prediction],
                "products": int(products),
                "share": round(float(products / counts[label].sum()), 4),
                **{f"example_{at}": text for at, text in enumerate(shown, start=1)},
            }
        )
    return rows
