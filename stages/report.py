"""Print what the models achieve, read from metrics/: no stage, shown after `make run`."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.errors import InputError, run_stage

METRICS = Path("metrics")
WIDTH = 100
FIGURES = {"accuracy": "accuracy", "macro_f1": "macro F1", "weighted_f1": "weighted F1"}
PLACES = """\
plots:        `dvc plots show` draws them into dvc_plots/index.html, `dvc plots diff` two commits
metrics:      metrics/headline.json, metrics/models.json; `dvc metrics diff` compares
predictions:  data/predictions/<modality>-<classifier>.parquet and .csv"""


def main() -> None:
    """Print the report of the metrics at hand."""
    print(report(*(read_metrics(name) for name in ("models", "headline", "data"))))


def read_metrics(name: str) -> dict[str, Any]:
    """Read metrics/<name>.json; raises InputError where it is missing or no JSON."""
    path = METRICS / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is not there: `dvc repro` builds it") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}): `dvc repro -f evaluate` rebuilds") from None


def report(models: Mapping[str, Any], headline: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Return the report of metrics/models.json, headline.json and data.json as plain text."""
    parts = [
        table(models, headline),
        "* chosen on the validation products; all figures are of the test products.",
        "\n".join(facts(models, headline, data["source"])),
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
            figures = [f"{scores[key]:.4f}" for key in FIGURES]
            rows.append([shortened(modality), shortened(classifier) + mark, *figures])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(padded(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Bring a row's cells to the columns' widths: names to the left, figures to the right."""
    return [
        cell.ljust(width) if at < 2 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def shortened(name: str) -> str:
    """Cut a name that would make the table too wide."""
    return name if len(name) <= 28 else name[:27] + "…"


def facts(models: Mapping[str, Any], headline: Mapping[str, Any], source: str) -> list[str]:
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
    gain = headline.get("fusion_gain")
    if gain:
        lines += wrapped(
            "fusion gain",
            f"accuracy {gain['accuracy']:+.4f}, macro F1 {gain['macro_f1']:+.4f}: the best that "
            "sees pictures and texts, less the best that sees one of them",
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
