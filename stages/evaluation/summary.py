"""The answers to a reviewer's questions, for metrics/summary.json: verdicts, and their figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.evaluation.bootstrap import Resamples
from stages.evaluation.model_metrics import (
    COMPARED,
    PROMISES,
    calibration_errors,
    coverages,
    ends,
    rounded,
)
from stages.evaluation.predictions import Model, best_on_validation
from stages.evaluation.significance import Difference, compare, in_words, on_average

Inputs = Mapping[str, Mapping[str, str]]  # modality to encoder to image or text

# What the twin of a model that sees both sees, and what is withheld from the model meanwhile.
TWINS = {
    "multimodal_against_text": ("text", None),
    "pictures_withheld": ("text", "image"),
    "texts_withheld": ("image", "text"),
}
SEEN = {"image": "pictures", "text": "texts"}


def summary(
    inputs: Inputs, models: Sequence[Model], best: Mapping[str, Model], resamples: Resamples
) -> dict[str, Any]:
    """Return what the models are good for; `best` has the best model of each modality."""
    chosen = best_on_validation(best.values())
    answers: dict[str, Any] = {"best_model": chosen.name}
    gain = fusion_gain(inputs, best, resamples)
    if gain:
        answers["fusion_gain"] = gain
    for question, (kind, withheld) in TWINS.items():
        found = against_twins(inputs, models, kind, withheld, resamples)
        if found:
            verdict = f"against the same classifier on {SEEN[kind]} alone: {never_below(found)}"
            if not withheld:
                average = in_words(*on_average([each for _, _, each in found]))
                verdict += f"; on average of the classifiers {average}"
            entries = {model.name: entry(model, twin, each) for model, twin, each in found}
            answers[question] = {"verdict": verdict, **entries}
    answers["coverage"] = {"verdict": coverage_in_words(chosen), **coverages(chosen)}
    errors = calibration_errors(chosen)
    verdict = "{before:.4f} before calibration, {after:.4f} after".format(**errors)
    answers["calibration_error"] = {"verdict": f"{chosen.name}: {verdict}", **errors}
    return answers


def fusion_gain(
    inputs: Inputs, best: Mapping[str, Model], resamples: Resamples
) -> dict[str, Any] | None:
    """Compare the best model that sees pictures and texts with the best that sees one of them.

    None where there is no such model, or where they have no test product in common.
    """
    kinds = {modality: len(kinds_of(inputs, modality)) for modality in best}
    fused, single = ([best[modality] for modality in best if kinds[modality] == n] for n in (2, 1))
    if not fused or not single:
        return None
    ours, theirs = best_on_validation(fused), best_on_validation(single)
    found = compare(ours.test, theirs.test, resamples)
    return entry(ours, theirs, found) if found else None


def against_twins(
    inputs: Inputs, models: Sequence[Model], kind: str, withheld: str | None, resamples: Resamples
) -> list[tuple[Model, Model, Difference]]:
    """Compare each model that sees both with its twin.

    The twin has the same classifier and the same encoders of `kind`, and no others. Where an input
    is `withheld` from the model, the products are those that have it.
    """
    by_name = {model.name: model for model in models}
    differences = []
    for model in models:
        kinds = kinds_of(inputs, model.modality)
        if len(kinds) < 2:
            continue
        modality = modality_of(inputs, kinds[kind])
        products = model.withheld.get(withheld) if withheld else model.test
        if modality and products:
            twin = by_name[f"{modality}-{model.classifier}"]
            found = compare(products, twin.test, resamples)
            if found:
                differences.append((model, twin, found))
    return differences


def entry(model: Model, other: Model, found: Difference) -> dict[str, Any]:
    """Tell how far a model is above another, in words and figures."""
    figures = {
        key: rounded({"difference": getattr(found, key).value}) | ends(getattr(found, key))
        for key in COMPARED
    }
    return {
        "verdict": f"{model.name} less {other.name}: {found.verdict}",
        **figures,
        "mcnemar_p": float(f"{found.mcnemar_p:.4g}"),
        "products": found.products,
    }


def never_below(found: Sequence[tuple[Model, Model, Difference]]) -> str:
    """Say which models are below their twin by more than the interval."""
    below = [
        model.name
        for model, _, each in found
        if any(getattr(each, key).high < 0 for key in COMPARED)
    ]
    said = f"{', '.join(below)} below" if below else f"none of {len(found)} models is below"
    gains = [each.accuracy.value for _, _, each in found]
    return f"{said} by more than the 95 % interval; accuracy {min(gains):+.4f} to {max(gains):+.4f}"


def coverage_in_words(model: Model) -> str:
    """Say how many test products a model files by itself at each promised accuracy."""
    parts = []
    for promise, kept in zip(PROMISES.values(), coverages(model).values(), strict=True):
        if kept["threshold"] is None:
            files = "none: no threshold keeps it on validation"
        elif kept["accuracy"] is None:
            files = "none: no product is that sure"
        else:
            files = f"{kept['filed']:.1%} filed, {kept['accuracy']:.1%} of them right"
        parts.append(f"{promise:.0%} promised: {files}")
    return f"{model.name}: {'; '.join(parts)}"


def kinds_of(inputs: Inputs, modality: str) -> dict[str, set[str]]:
    """Return a modality's encoders by what they see, `image` or `text`, without empty kinds."""
    kinds: dict[str, set[str]] = {}
    for encoder, kind in inputs[modality].items():
        kinds.setdefault(kind, set()).add(encoder)
    return kinds


def modality_of(inputs: Inputs, encoders: set[str]) -> str | None:
    """Return the first modality that sees with exactly these encoders; None if there is none."""
    for modality, seen in inputs.items():
        if set(seen) == encoders:
            return modality
    return None
