"""Print what the models achieve, read from metrics/: no stage, shown after `make run`."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from stages.common.process import run_stage

METRICS = Path("metrics")
WIDTH = 100
FIGURES = {"accuracy": "accuracy", "macro_f1": "macro F1"}
QUESTIONS = {  # of metrics/summary.json
    "fusion_gain": "fusion gain",
    "multimodal_against_text": "both inputs",
    "pictures_withheld": "no pictures",
    "texts_withheld": "no texts",
    "coverage": "coverage",
    "calibration_error": "calibration",
    "label_issues": "labels",
}
PLACES = """\
plots:        `dvc plots show` draws them into dvc_plots/index.html, `dvc plots diff` two commits
metrics:      `dvc metrics diff` compares two commits; metrics/summary.json has the verdicts
mistakes:     plots/errors.png, plots/confused_pairs.csv; data/label_issues.csv: check these labels
predictions:  data/predictions/<modality>-<classifier>.parquet and .csv"""


def main() -> None:
    """Print the report of the metrics at hand."""
    print(report(*(read_metrics(name) for name in ("models", "headline", "summary", "data"))))


def read_metrics(name: str) -> dict[str, Any]:
    """Read metrics/<name>.json; raises InputError where it is missing or no JSON."""
    path = METRICS / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is not there: `dvc repro` builds it") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}): `dvc repro -f evaluate` rebuilds") from None


def report(
    models: Mapping[str, Any],
    headline: Mapping[str, Any],
    summary: Mapping[str, Any],
    data: Mapping[str, Any],
) -> str:
    """Return the report of metrics/: models, headline, summary and data, as plain text."""
    parts = [
        table(models, headline),
        "* chosen on the validation products; figures are of the test products, [95 % intervals].",
        "\n".join(answers(summary)),
        "\n".join(facts(models, data["source"])),
        PLACES,
    ]
    return "\n\n".join(parts)


def table(models: Mapping[str, Any], headline: Mapping[str, Any]) -> str:
    """Return a line per model under a header, in the order in which the metrics have them."""
    rows = [["modality", "classifier", *FIGURES.values()]]
    for modality, classifiers in models.items():
        for classifier, scores in classifiers.items():
            if classifier == "weights":
                continue
            mark = " *" if headline[modality]["model"] == classifier else ""
            figures = [with_interval(scores[key], scores["interval"][key]) for key in FIGURES]
            rows.append([shortened(modality), shortened(classifier) + mark, *figures])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(padded(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def with_interval(value: float, ends: Mapping[str, float]) -> str:
    """Return a figure with its interval."""
    return f"{value:.4f} [{ends['low']:.3f}, {ends['high']:.3f}]"


def padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Bring a row's cells to the columns' widths: names to the left, figures to the right."""
    return [
        cell.ljust(width) if at < 2 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def shortened(name: str) -> str:
    """Cut a name that would make the table too wide."""
    return name if len(name) <= 24 else name[:23] + "…"


def answers(summary: Mapping[str, Any]) -> list[str]:
    """Return the verdicts of metrics/summary.json."""
    lines = []
    for question, title in QUESTIONS.items():
        entry = summary.get(question)
        if entry:
            lines += wrapped(title, entry["verdict"])
    return lines


def facts(models: Mapping[str, Any], source: str) -> list[str]:
    """Return what a reader must know to judge the figures."""
    kinds = {name: kind for entry in models.values() for name, kind in entry["weights"].items()}
    lines = wrapped("weights", ", ".join(f"{name}: {kind}" for name, kind in kinds.items()))
    random = [name for name, kind in kinds.items() if kind == "random"]
    if random:
        touched = [name for name, entry in models.items() if "random" in entry["weights"].values()]
        lines += warning(
            f"RANDOM WEIGHTS in {', '.join(random)}: the figures of {', '.join(touched)} "
            "say nothing of the quality that pretrained weights give."
        )
    lines += wrapped("data", f"the source `{source}`")
    if source == "demo":
        lines += warning("DEMO DATA, drawn by the program: not evidence of quality.")
    return lines


def wrapped(title: str, text: str) -> list[str]:
    """Return a titled text as lines of at most WIDTH characters."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"{title}:".ljust(14), subsequent_indent=" " * 14
    )


def warning(text: str) -> list[str]:
    """Return a text as lines that nobody overlooks."""
    return textwrap.wrap(text, WIDTH, initial_indent="!!! ", subsequent_indent="!!! ")


if __name__ == "__main__":
    run_stage(main)
