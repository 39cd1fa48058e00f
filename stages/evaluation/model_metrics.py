"""The contents of metrics/models.json and metrics/headline.json."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stages.evaluation.bootstrap import ClusterBootstrap, Interval, interval
from stages.evaluation.calibration_error import calibration_error
from stages.evaluation.predictions import Model, Scores
from stages.evaluation.selective import TARGET_ACCURACIES, coverage_at

PRIMARY_METRICS = ("accuracy", "macro_f1")  # those with intervals, by which models are compared
WEIGHTS = {"random": "RANDOM", "bundled": "bundled", "pretrained": "pretrained"}  # worst first

Intervals = dict[str, dict[str, Interval]]  # by the model's name and the metric's


def intervals_of(models: Iterable[Model], bootstrap: ClusterBootstrap) -> Intervals:
    """Return the intervals of each model's primary test metrics."""
    found = {}
    for model in models:
        metrics = bootstrap.metrics(model.test)
        found[model.name] = {key: interval(getattr(metrics, key)) for key in PRIMARY_METRICS}
    return found


def model_metrics(models: Sequence[Model], intervals: Intervals) -> dict[str, dict[str, Any]]:
    """Return the metrics of each modality's classifiers, and the kinds of weights they rest on."""
    metrics: dict[str, dict[str, Any]] = {}
    for model in models:
        metrics.setdefault(model.modality, {})[model.classifier] = {
            **rounded(model.test_scores),
            "interval": {key: ends(found) for key, found in intervals[model.name].items()},
            "calibration_error": calibration_errors(model),
            "coverage": coverages(model),
            "products": len(model.test),
            "n_without_input": model.n_without_input,
            "validation": {
                **{key: rounded(model.validation_scores)[key] for key in PRIMARY_METRICS},
                "share_with_input": round(model.validation_share, 4),
            },
        }
    for model in models:  # in a second loop, so that they stand below all classifiers
        metrics[model.modality]["weights"] = model.weights
    return metrics


def primary_metrics(models: Sequence[Model]) -> dict[str, dict[str, Scores]]:
    """Return the primary metrics of each modality's classifiers."""
    metrics: dict[str, dict[str, Scores]] = {}
    for model in models:
        found = rounded({key: model.test_scores[key] for key in PRIMARY_METRICS})
        metrics.setdefault(model.modality, {})[model.classifier] = found
    return metrics


def calibration_errors(model: Model) -> Scores:
    """Return the expected calibration error on the test products, before and after calibration."""
    before = calibration_error(model.test.uncalibrated)
    return rounded({"before": before, "after": calibration_error(model.test.calibrated)})


def coverages(model: Model) -> dict[str, dict[str, float | None]]:
    """Return the coverage at each target accuracy; None where a figure does not exist.

    With several folds `threshold` is the highest of theirs.
    """
    found = {}
    for name, target in TARGET_ACCURACIES.items():
        at_target = coverage_at(model.validation, model.test, target)
        found[name] = {
            key: None if value is None else round(value, 4)
            for key, value in vars(at_target).items()
        }
    return found


def headline(
    best: Mapping[str, Model],
    models: Sequence[Model],
    intervals: Intervals,
    summary: Mapping[str, Any],
    split: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the few figures that a review looks at first.

    Each modality's model is tested on the products that have its inputs; `summary` and `split` are
    the contents of metrics/summary.json and metrics/split.json. `scores` has every model's metrics.
    """
    figures: dict[str, Any] = {}
    for modality, model in best.items():
        figures[modality] = {"model": model.classifier}
        for key, found in intervals[model.name].items():
            figures[modality][key] = rounded(model.test_scores)[key]
            figures[modality][f"{key}_interval"] = "{low:.4f} to {high:.4f}".format(**ends(found))
    if gain := summary.get("fusion_gain"):
        figures["fusion_gain"] = {}
        for key in PRIMARY_METRICS:
            figures["fusion_gain"][key] = gain[key]["difference"]
            between = "{low:+.4f} to {high:+.4f}".format(**gain[key])
            figures["fusion_gain"][f"{key}_interval"] = between
    figures["best_model"] = summary["best_model"]
    figures["coverage"] = {name: found["coverage"] for name, found in summary["coverage"].items()}
    leak = split["test_products_with_a_near_duplicate_in_training"]["this_split"]
    figures["near_duplicates_in_training"] = leak["share"]
    figures["scores"] = primary_metrics(models)
    figures["weights"] = {
        modality: weights_in_words(model.weights) for modality, model in best.items()
    }
    return figures


def weights_in_words(weights: Mapping[str, str]) -> str:
    """Say which encoders have which kind of weights, random ones first."""
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
