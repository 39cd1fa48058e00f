"""The report of a review, as Markdown for a comment and as a page with images."""

import base64
import html
import re
from collections.abc import Mapping, Sequence

from markdown_it import MarkdownIt
from tabulate import tabulate

from stages.reporting.names import shortened
from stages.reporting.results_text import differences
from tools.review.comparison import METRICS, ChangedPrediction, Comparison
from tools.review.state import State, metrics_diff, params_diff

LISTED = 50  # changed predictions
NAME = 100  # columns; GitHub takes a comment of 65,536 characters, and names may have thousands
# The cell of a sku: what is written like it elsewhere, such as a name or a parameter, is none.
SKU = re.compile(r"<td>(?:now|still) (?:right|wrong)</td>\n<td>(.*)(?=</td>)")
# A forge makes links of @name, whom it tells, and of #1, unless this stands between.
APART = "<!-- -->"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid #8888; padding: .3rem .6rem; text-align: left; }
img { display: block; width: 112px; height: 112px; object-fit: contain; background: #fff; }
code { overflow-wrap: anywhere; }
:root { color-scheme: light dark; }
"""


def to_markdown(
    base: State,
    ours: State,
    compared: Sequence[Comparison],
    changed: Sequence[ChangedPrediction],
) -> str:
    """Return the report."""
    assert base.commit is not None
    parts = [
        f"**{verdict(compared)}{_lost(base, ours)}**",
        "\n".join(f"- {_sentence(one)}" for one in compared),
        f"Compared with `{base.commit[:7]}`. `dvc.lock` is that of the code.",
        "## Parameters",
        params_diff(base.commit[:7]) or "The same.",
        "## Data",
        _changed_outputs(base, ours),
        "## Metrics",
        metrics_diff(base.commit[:7]) or "The same.",
        "## Changed predictions",
        _changed_table(ours, changed),
    ]
    return "\n\n".join(parts) + "\n"


def verdict(compared: Sequence[Comparison]) -> str:
    """Say in a sentence whether the change is for the better."""
    worse = [one.modality for one in compared if one.is_shown(-1)]
    better = [one.modality for one in compared if one.is_shown(+1)]
    if worse and better:
        return f"Better for {', '.join(better)}, worse for {', '.join(worse)}."
    if worse:
        return f"Worse: {', '.join(worse)}."
    return f"Better: {', '.join(better)}." if better else "No difference shown."


def _lost(base: State, ours: State) -> str:
    """Say which modalities have no model any more: one of them may have been the best."""
    lost = [name for name in base.models if name not in ours.models]
    return f" No model of {', '.join(lost)} any more." if lost else ""


def to_html(text: str, images: Mapping[str, bytes]) -> str:
    """Return the report as a page that needs no network; `images` are JPEGs by sku.

    Each stands in the cell of its sku.
    """
    jpegs = {_words(sku): jpeg for sku, jpeg in images.items()}

    def with_image(found: re.Match[str]) -> str:
        jpeg = jpegs.get(html.unescape(found[1]))
        if jpeg is None:
            return found[0]
        source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        return f'{found[0]}<img alt="" src="{source}">'

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text.replace(APART, ""))
    body = SKU.sub(with_image, body)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Review</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main><h1>Review</h1>\n{body}</main></body></html>\n"
    )


def _sentence(one: Comparison) -> str:
    """Say how the best models of a modality differ."""
    found = {
        key: {"difference": each.value, "low": each.low, "high": each.high}
        for key in METRICS
        for each in [getattr(one.found, key)]
    }
    models = one.after if one.before == one.after else f"{one.after} in place of {one.before}"
    relabeled = f", {one.relabeled:,} of them with another label now" if one.relabeled else ""
    return (
        f"{one.modality} ({models}), {one.found.products:,} test products in both{relabeled}: "
        f"{differences(found)}"
    )


def _changed_outputs(base: State, ours: State) -> str:
    """Say which outputs of the stages differ, but the metrics and plots."""
    paths = sorted({*base.outputs, *ours.outputs})
    changed = [
        f"- `{path}`: {'new' if path not in base.outputs else _fate(path, ours)}"
        for path in paths
        if base.outputs.get(path) != ours.outputs.get(path)
        and path.startswith(("data/", "models/"))
    ]
    return "\n".join(changed) or "The same."


def _fate(path: str, ours: State) -> str:
    return "changed" if path in ours.outputs else "gone"


def _changed_table(ours: State, changed: Sequence[ChangedPrediction]) -> str:
    """Return a table of the products whose prediction changed."""
    if not changed:
        return "None."
    rows = [
        (
            one.outcome,
            _cell(one.sku),
            _cell(shortened(one.name, NAME)),
            _cell(one.label),
            _cell(one.before),
            _cell(one.after),
            f"{one.probability:.2f}",
        )
        for one in changed[:LISTED]
    ]
    headers = ["", "sku", "name", "label", "before", "after", "probability"]
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    more = f"\n\n{len(changed) - LISTED:,} more." if len(changed) > LISTED else ""
    return f"{len(changed):,} of {ours.headline['best_model']}, the worst first:\n\n{table}{more}"


def _cell(text: str) -> str:
    """Return a text as a cell of a table of Markdown: nothing in it is markup or a mention."""
    cell = html.escape(_words(text), quote=False)
    for sign in "\\`*_{}[]|~":
        cell = cell.replace(sign, "\\" + sign)
    return re.sub(r"[@#](?=\w)", rf"\g<0>{APART}", cell)


def _words(text: str) -> str:
    return " ".join(text.split())
