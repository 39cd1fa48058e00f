"""The contents of metrics/summary.json: the figures that answer a reviewer's questions."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.evaluation.bootstrap import ClusterBootstrap, Interval
from stages.evaluation.model_metrics import (
    PRIMARY_METRICS,
    calibration_errors,
    coverages,
    ends,
    rounded,
)
from stages.evaluation.model_selection import best_between_modalities
from stages.evaluation.predictions import Model
from stages.evaluation.significance import Difference, compare, mean_difference

Inputs = Mapping[str, Mapping[str, str]]  # by modality: image or text, by encoder

# What each question compares a model of both inputs with, the model of this input alone, and the
# input that is hidden from the model of both meanwhile.
UNIMODAL_BASELINES = {
    "multimodal_against_text": ("text", None),
    "image_ablated": ("text", "image"),
    "text_ablated": ("image", "text"),
}


def summary(
    inputs: Inputs, models: Sequence[Model], best: Mapping[str, Model], bootstrap: ClusterBootstrap
) -> dict[str, Any]:
    """Return the figures of metrics/summary.json; `best` has the best model of each modality."""
    chosen = best_between_modalities(best.values())
    figures: dict[str, Any] = {"best_model": chosen.name}
    gain = fusion_gain(inputs, best, bootstrap)
    if gain:
        figures["fusion_gain"] = gain
    for question, (baseline_input, ablated) in UNIMODAL_BASELINES.items():
        found = against_unimodal(inputs, models, baseline_input, ablated, bootstrap)
        if found:
            by_model = {model.name: _comparison(baseline, each) for model, baseline, each in found}
            figures[question] = {"models": by_model}
            if not ablated:
                means = mean_difference([each for _, _, each in found])
                entries = zip(PRIMARY_METRICS, map(_difference, means), strict=True)
                figures[question]["mean"] = dict(entries)
    figures["coverage"] = coverages(chosen)
    figures["calibration_error"] = calibration_errors(chosen)
    return figures


def fusion_gain(
    inputs: Inputs, best: Mapping[str, Model], bootstrap: ClusterBootstrap
) -> dict[str, Any] | None:
    """Compare the best model of images and texts with the best model of one of them.

    None where there is no such model, or where they have no test product in common.
    """
    n_inputs = {modality: len(encoders_by_input(inputs, modality)) for modality in best}
    fused, single = ([best[name] for name in best if n_inputs[name] == n] for n in (2, 1))
    if not fused or not single:
        return None
    model, baseline = best_between_modalities(fused), best_between_modalities(single)
    found = compare(model.test, baseline.test, bootstrap)
    return {"model": model.name} | _comparison(baseline, found) if found else None


def against_unimodal(
    inputs: Inputs,
    models: Sequence[Model],
    baseline_input: str,
    ablated: str | None,
    bootstrap: ClusterBootstrap,
) -> list[tuple[Model, Model, Difference]]:
    """Compare each model of both inputs with its unimodal baseline.

    The baseline has the same classifier and the same encoders of `baseline_input`, and no others.
    Where an input is `ablated`, the products are those that have it.
    """
    by_name = {model.name: model for model in models}
    differences = []
    for model in models:
        encoders = encoders_by_input(inputs, model.modality)
        if len(encoders) < 2:
            continue
        modality = modality_with(inputs, encoders[baseline_input])
        products = model.ablated.get(ablated) if ablated else model.test
        if modality and products:
            baseline = by_name[f"{modality}-{model.classifier}"]
            found = compare(products, baseline.test, bootstrap)
            if found:
                differences.append((model, baseline, found))
    return differences


def encoders_by_input(inputs: Inputs, modality: str) -> dict[str, set[str]]:
    """Return a modality's encoders by their input, `image` or `text`; an absent input has none."""
    encoders: dict[str, set[str]] = {}
    for encoder, name in inputs[modality].items():
        encoders.setdefault(name, set()).add(encoder)
    return encoders


def modality_with(inputs: Inputs, encoders: set[str]) -> str | None:
    """Return the first modality with exactly these encoders; None if there is none."""
    for modality, of_modality in inputs.items():
        if set(of_modality) == encoders:
            return modality
    return None


def _comparison(baseline: Model, found: Difference) -> dict[str, Any]:
    return {
        "baseline": baseline.name,
        **{key: _difference(getattr(found, key)) for key in PRIMARY_METRICS},
        "mcnemar_p": float(f"{found.mcnemar_p:.4g}"),
        "products": found.products,
    }


def _difference(found: Interval) -> dict[str, float]:
    return rounded({"difference": found.value}) | ends(found)
