"""The figures of metrics/models.json and metrics/headline.json."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stages.evaluation.bootstrap import Interval, Resamples, interval
from stages.evaluation.calibration_error import calibration_error
from stages.evaluation.predictions import Model, Scores
from stages.evaluation.selective import coverage

COMPARED = ("accuracy", "macro_f1")  # what models are compared by
PROMISES = {"at_95_percent": 0.95, "at_99_percent": 0.99}
WEIGHTS = {"random": "RANDOM", "bundled": "bundled", "pretrained": "pretrained"}  # worst first

Intervals = dict[str, dict[str, Interval]]  # by the model's name and the figure's


def intervals_of(models: Iterable[Model], resamples: Resamples) -> Intervals:
    """Return the intervals of each model's test figures."""
    found = {}
    for model in models:
        figures = resamples.figures(model.test)
        found[model.name] = {key: interval(getattr(figures, key)) for key in COMPARED}
    return found


def all_metrics(models: Sequence[Model], intervals: Intervals) -> dict[str, dict[str, Any]]:
    """Return the figures of each modality's classifiers, and the kinds of weights beneath them."""
    metrics: dict[str, dict[str, Any]] = {}
    for model in models:
        metrics.setdefault(model.modality, {})[model.classifier] = {
            **rounded(model.test_scores),
            "interval": {key: ends(found) for key, found in intervals[model.name].items()},
            "calibration_error": calibration_errors(model),
            "coverage": coverages(model),
            "products": len(model.test.skus),
            "unseen": model.unseen,
            "validation": {key: rounded(model.validation_scores)[key] for key in COMPARED},
        }
    for model in models:  # in a second turn, so that they stand below all classifiers
        metrics[model.modality]["weights"] = model.weights
    return metrics


def calibration_errors(model: Model) -> Scores:
    """Return the calibration error on the test products, before and after calibration."""
    judged = {"before": model.test.uncalibrated, "after": model.test.judged}
    return rounded({key: calibration_error(products) for key, products in judged.items()})


def coverages(model: Model) -> dict[str, dict[str, float | None]]:
    """Return what each promised accuracy comes to; None where there is no such figure.

    With several folds `threshold` is the highest of theirs.
    """
    found = {}
    for name, promise in PROMISES.items():
        kept = coverage(model.validation, model.test, promise)
        found[name] = {
            "filed": round(kept.filed, 4),
            "accuracy": None if kept.accuracy is None else round(kept.accuracy, 4),
            "threshold": None if kept.threshold is None else round(kept.threshold, 4),
        }
    return found


def headline(
    best: Mapping[str, Model], intervals: Intervals, gain: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the few figures that a review looks at first.

    Each modality's are of the products that it can see; `gain` is that of metrics/summary.json.
    """
    figures: dict[str, Any] = {}
    for modality, model in best.items():
        figures[modality] = {"model": model.classifier}
        for key, found in intervals[model.name].items():
            figures[modality][key] = rounded(model.test_scores)[key]
            figures[modality][f"{key}_interval"] = "{low:.4f} to {high:.4f}".format(**ends(found))
    if gain:
        figures["fusion_gain"] = {}
        for key in COMPARED:
            figures["fusion_gain"][key] = gain[key]["difference"]
            between = "{low:+.4f} to {high:+.4f}".format(**gain[key])
            figures["fusion_gain"][f"{key}_interval"] = between
    figures["weights"] = {
        modality: weights_in_words(model.weights) for modality, model in best.items()
    }
    return figures


def weights_in_words(weights: Mapping[str, str]) -> str:
    """Say which encoders have which kind of weights, the least trustworthy first."""
    parts = []
    for kind, word in WEIGHTS.items():
        names = [name for name, found in weights.items() if found == kind]
        if names:
            parts.append(f"{word}: {', '.join(names)}")
    return "; ".join(parts)


def ends(found: Interval) -> Scores:
    """Return the ends of an interval, rounded."""
    return rounded({"low": found.low, "high": found.high})


def rounded(scores: Mapping[str, float]) -> Scores:
    """Round figures to four places, and -0.0 to 0.0."""
    return {key: round(value, 4) + 0.0 for key, value in scores.items()}
