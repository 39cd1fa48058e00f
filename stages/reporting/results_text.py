"""The figures of metrics/ as a plain text for people: a table, and sentences on each question."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from stages.evaluation.model_metrics import PRIMARY_METRICS
from stages.evaluation.selective import TARGET_ACCURACIES
from stages.evaluation.summary import UNIMODAL_BASELINES
from stages.evaluation.weak_slices import WeakSlice
from stages.reporting.names import shortened

WIDTH, NAME = 100, 24  # columns, of a line and of a name in it
METRIC_TITLES = {"accuracy": "accuracy", "macro_f1": "macro F1"}
FILES = """\
report:       open plots/report.html: charts, and the products behind the figures
plots:        `dvc plots show` draws them into dvc_plots/index.html, `dvc plots diff` two commits
metrics:      `dvc metrics diff` compares two commits; metrics/summary.json has the figures above
mistakes:     errors.png and confused_pairs.csv in plots/evaluation/
labels:       check those that data/label_issues.csv lists
predictions:  data/predictions/<modality>-<classifier>.parquet and .csv"""

QUESTION_TITLES = {
    "multimodal_against_text": "both inputs",
    "image_ablated": "no images",
    "text_ablated": "no text",
}
INPUTS = {"image": "images", "text": "text"}


def report(
    models: Mapping[str, Any],
    headline: Mapping[str, Any],
    summary: Mapping[str, Any],
    data: Mapping[str, Any],
    weak: Sequence[WeakSlice],
    n_tried: int,
) -> str:
    """Return the report of metrics/ and of weak slices, of which `n_tried` were tried, as text."""
    words = summary_in_words(summary)
    words["weak slices"] = weak_slices_in_words(summary["best_model"], len(weak), n_tried)
    answers = [line for entry in words.items() for line in wrapped(*entry)]
    answers += [
        f"{'':14}{shortened(each.attribute, NAME)} {shortened(each.value, NAME)}: "
        f"{each.accuracy:.4f} [{each.low:.3f}, {each.high:.3f}] of {each.products} products"
        for each in weak
    ]
    parts = [
        table(models, headline),
        "* chosen on the validation products; metrics of the test products, [95 % intervals].",
        "\n".join(answers),
        "\n".join(origins(models, data["source"])),
        FILES,
    ]
    return "\n\n".join(parts)


def table(models: Mapping[str, Any], headline: Mapping[str, Any]) -> str:
    """Return a row per model, in the order in which the metrics have them."""
    rows = []
    for modality, classifiers in models.items():
        for classifier, scores in classifiers.items():
            if classifier == "weights":
                continue
            mark = " *" if headline[modality]["model"] == classifier else ""
            cells = [
                f"{scores[key]:.4f} [{{low:.3f}}, {{high:.3f}}]".format(**scores["interval"][key])
                for key in METRIC_TITLES
            ]
            rows.append([shortened(modality, NAME), shortened(classifier, NAME) + mark, *cells])
    headers = ["modality", "classifier", *METRIC_TITLES.values()]
    return tabulate(rows, headers, colalign=("left", "left", "right", "right"))


def origins(models: Mapping[str, Any], source: str) -> list[str]:
    """Return what the figures rest on: the weights and the data; warn where they prove nothing."""
    weights = {name: kind for entry in models.values() for name, kind in entry["weights"].items()}
    lines = wrapped("weights", ", ".join(f"{name}: {kind}" for name, kind in weights.items()))
    lines += wrapped("data", f"the source `{source}`")
    for text in warnings(models, source):
        lines += _lines(text, "!!! ", "!!! ")
    return lines


def warnings(models: Mapping[str, Any], source: str) -> list[str]:
    """Say where figures are no evidence of quality: random weights, and products that are drawn."""
    found = []
    weights = {name: kind for entry in models.values() for name, kind in entry["weights"].items()}
    if random := [name for name, kind in weights.items() if kind == "random"]:
        affected = [name for name, entry in models.items() if "random" in entry["weights"].values()]
        found.append(
            f"RANDOM WEIGHTS in {', '.join(random)}: the figures of {', '.join(affected)} "
            "say nothing of the quality that pretrained weights give."
        )
    if source == "demo":
        found.append("DEMO DATA, drawn by the program: not evidence of quality.")
    return found


def wrapped(title: str, text: str) -> list[str]:
    """Return a titled text as lines of at most WIDTH characters."""
    title = f"{title}:".ljust(14)
    return _lines(text, title, " " * 14)


def _lines(text: str, first: str, others: str) -> list[str]:
    """Wrap a text, with one indent for the first line and one for the others; keep names whole."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False
    )


def summary_in_words(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return sentences by title; a question that metrics/summary.json does not have is left out."""
    best = summary["best_model"]
    words = {}
    if "fusion_gain" in summary:
        words["fusion gain"] = fusion_gain(summary["fusion_gain"])
    for question, (baseline_input, _) in UNIMODAL_BASELINES.items():
        if question in summary:
            words[QUESTION_TITLES[question]] = against_unimodal(
                summary[question], INPUTS[baseline_input]
            )
    words["coverage"] = f"{best}: {coverage(summary['coverage'])}"
    error = summary["calibration_error"]
    words["calibration"] = (
        f"{best}: expected calibration error {error['before']:.4f} before calibration, "
        f"{error['after']:.4f} after"
    )
    issues = summary["label_issues"]
    words["labels"] = f"{issues['suspect']} of {issues['audited']} labels look wrong to {best}"
    return words


def fusion_gain(gain: Mapping[str, Any]) -> str:
    """Say how the best model of both inputs compares with the best model of one."""
    return (
        f"{gain['model']} minus {gain['baseline']}: {differences(gain)}; "
        f"McNemar's p {gain['mcnemar_p']:.2g}; {gain['products']} products"
    )


def against_unimodal(entry: Mapping[str, Any], baseline: str) -> str:
    """Say which models are worse than their unimodal baseline, and the mean difference if known."""
    models = entry["models"]
    worse = [
        name
        for name, found in models.items()
        if any(found[key]["high"] < 0 for key in PRIMARY_METRICS)
    ]
    gains = [found["accuracy"]["difference"] for found in models.values()]
    words = (
        f"worse than the same classifier on {baseline} alone, by more than the 95 % interval: "
        f"{', '.join(worse) or f'none of {len(models)}'}; "
        f"accuracy differs by {min(gains):+.4f} to {max(gains):+.4f}"
    )
    return words + (f"; on average {differences(entry['mean'])}" if "mean" in entry else "")


def differences(found: Mapping[str, Mapping[str, float]]) -> str:
    """Say how two models differ in each metric, and whether the interval shows a difference."""
    parts = []
    for key in PRIMARY_METRICS:
        low, high = found[key]["low"], found[key]["high"]
        shown = "higher" if low > 0 else "lower" if high < 0 else "no difference shown"
        interval = f"{found[key]['difference']:+.4f} ({low:+.4f} to {high:+.4f})"
        parts.append(f"{METRIC_TITLES[key]} {interval}, {shown}")
    return "; ".join(parts)


def coverage(entry: Mapping[str, Mapping[str, float | None]]) -> str:
    """Say for each target accuracy how many test products need no review by a person."""
    parts = []
    for name, target in TARGET_ACCURACIES.items():
        found = entry[name]
        accepted, accuracy = found["coverage"], found["accuracy"]
        if found["threshold"] is None:
            words = (
                "nothing is promised: too few validation products, or too many mistakes among them"
            )
        elif accuracy is None:
            words = "none, no prediction reaches the threshold"
        else:
            words = f"{accepted:.1%} of products need no review, {accuracy:.1%} of those are right"
        if found["accuracy_unpromised"] is not None:
            words += (
                f" (without a promise {found['coverage_unpromised']:.1%}, "
                f"{found['accuracy_unpromised']:.1%} of those are right)"
            )
        parts.append(f"at {target:.0%} target accuracy {words}")
    return "; ".join(parts)


def weak_slices_in_words(best: str, n_weak: int, n_tried: int) -> str:
    """Say how many slices of the test products were tried for the best model, and are weak."""
    if not n_tried:
        return "no slice has enough groups of test products to be tried"
    weak = "none" if not n_weak else str(n_weak)
    return (
        f"{best}: {weak} of {n_tried:,} slices (by manufacturer, class, length and script of the "
        f"text, missing input) {'are' if n_weak > 1 else 'is'} weaker than all test products by "
        "more than the interval, corrected for how many were tried"
    )
