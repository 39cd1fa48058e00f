"""What the page says in each of its sections, for its template."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stages.evaluation.weak_slices import WeakSlice
from stages.reporting.cards import Cards
from stages.reporting.confusion import ConfusionMatrix, Pair, confusion_matrices, show_cells
from stages.reporting.results import Results, Row
from stages.reporting.results_text import summary_in_words, warnings, weak_slices_in_words

MAX_SLICES, SLICE_CARDS = 20, 12
MAX_LABELS = 24
MAX_GROUPS, GROUP_CARDS = 6, 6
EXAMPLES, EXAMPLE_LENGTH = 3, 80  # of a reason; characters

Section = dict[str, Any]


def header(results: Results) -> Section:
    """Return what the figures rest on, and where that is no evidence."""
    kinds = {
        encoder: kind
        for entry in results.models.values()
        for encoder, kind in entry["weights"].items()
    }
    in_training = results.headline["near_duplicates_in_training"]
    return {
        "n_products": results.data["products"]["kept"],
        "n_classes": results.data["classes"]["all"],
        "n_tested": len({sku for found in results.predictions.values() for sku in found}),
        "source": results.data["source"],
        "in_training": f"{in_training:.1%} of these have" if in_training else "None of these has",
        "encoders": [
            name if kind == "none" else f"{name} ({kind} weights)" for name, kind in kinds.items()
        ],
        "warnings": [
            text.partition(": ") for text in warnings(results.models, results.data["source"])
        ],
    }


def best_models(results: Results) -> Section:
    """Return the headline figures of each modality's best model, and the answers in words."""
    rows = [{"modality": name, **results.headline[name]} for name in results.models]
    return {"rows": rows, "best": results.best_modality, "words": summary_in_words(results.summary)}


def confusion(results: Results, cards: Cards, limit: int) -> list[Section]:
    """Return the confusion matrix of each modality, whose cells show cards, `limit` at most."""
    matrices = confusion_matrices(results)
    keys = show_cells(matrices, cards, limit)
    return [
        {
            "modality": matrix.modality,
            "model": matrix.model,
            "is_first": matrix.modality == results.best_modality,
            "mistakes": matrix.mistakes,
            "products": sum(matrix.counts.values()),
            "n_classes": matrix.n_classes,
            "columns": matrix.classes,
            "rows": [_matrix_row(matrix, label, keys) for label in matrix.classes],
        }
        for matrix in matrices
    ]


def _matrix_row(
    matrix: ConfusionMatrix, label: str, keys: Mapping[tuple[str, Pair], str]
) -> Section:
    support = matrix.supports.get(label, 0)
    cells = []
    for prediction in matrix.classes:
        pair = (label, prediction)
        count = matrix.counts.get(pair, 0)
        is_right = label == prediction
        shade = min(4 * count // max(support, 1) + 1, 4)
        cells.append(
            {
                "count": count,
                "shade": f"right-{shade}" if is_right else f"wrong-{shade}",
                "key": keys.get((matrix.modality, pair), ""),
                "title": f"{label}, predicted {'right' if is_right else prediction}",
            }
        )
    return {"name": label, "support": support, "cells": cells}


def weak_slices(
    results: Results,
    weak: Sequence[tuple[WeakSlice, Sequence[str]]],
    n_tried: int,
    cards: Cards,
) -> Section:
    """Return the weak slices, each with its mistakes as cards, and what was tried."""
    rows = []
    for i, (found, skus) in enumerate(weak[:MAX_SLICES]):
        cards.show(f"weak-{i}", skus[:SLICE_CARDS])
        name = f"{found.attribute}: {found.value}"
        rows.append({"found": found, "name": name, "key": f"weak-{i}", "mistakes": len(skus)})
    words = weak_slices_in_words(results.headline["best_model"], len(weak), n_tried) + "."
    if len(weak) > len(rows):
        words += f" {len(rows)} are shown; plots/report/weak_slices.csv has all."
    return {"rows": rows, "words": words}


def label_issues(results: Results, cards: Cards) -> Section:
    """Return the labels that look wrong, as cards."""
    rows = [row for row in results.label_issues if row["suspect"] == "yes"][:MAX_LABELS]
    notes = [  # U+2068 and U+2069: a label that runs to the left leaves the number in its place
        f"looks like: \u2068{row['suggested_label']}\u2069 "
        f"({float(row['suggested_probability']):.0%})"
        for row in rows
    ]
    cards.show("labels", [row["sku"] for row in rows], notes)
    found = results.summary["label_issues"]
    words = (
        f"{found['suspect']:,} of {found['audited']:,} labels look wrong to "
        f"{results.headline['best_model']} (confident learning). A person should look at them."
    )
    if found["suspect"] > len(rows):
        words += f" {len(rows)} are shown; data/label_issues.csv has all."
    return {"words": words, "count": len(rows)}


def near_duplicates(results: Results, cards: Cards) -> Section:
    """Return the largest groups of near-duplicates, as cards."""
    groups: dict[str, list[str]] = {}
    for sku, product in results.products.items():
        groups.setdefault(product.group, []).append(sku)
    several = [sorted(skus) for skus in groups.values() if len(skus) > 1]
    largest = sorted(several, key=lambda skus: (-len(skus), skus[0]))[:MAX_GROUPS]
    rows = []
    for i, skus in enumerate(largest):
        cards.show(f"group-{i}", skus[:GROUP_CARDS])
        rows.append({"key": f"group-{i}", "products": len(skus)})
    return {"rows": rows, "words": _groups_in_words(results, len(rows))}


def _groups_in_words(results: Results, shown: int) -> str:
    groups = results.split["groups"]
    if not shown:
        return "No two products are near-duplicates of each other."
    words = (
        f"{groups['products_in_those']:,} products are in {groups['of_two_or_more']:,} groups of "
        "near-duplicates, or of what split.group_by keeps together."
    )
    shares = results.split["test_products_with_a_near_duplicate_in_training"]
    if stratified := shares.get("stratified"):
        words += (
            f" In a split that ignores them, {stratified['share']:.1%} of the test products would "
            "have a near-duplicate in training."
        )
    return words + f" The {shown} largest groups:"


def rejected(results: Results) -> list[Section]:
    """Return the reasons why products were rejected and why images failed."""
    return [
        {
            "title": f"Rejected products: {len(results.rejected):,}",
            "counted": "products",
            "reasons": _reasons(results.rejected, ("name", "sku", "row")),
            "file": "data/rejected.csv",
        },
        {
            "title": f"Failed images: {len(results.failed_images):,}",
            "counted": "images",
            "reasons": _reasons(results.failed_images, ("reference", "sku")),
            "file": "data/failed_images.csv",
        },
    ]


def _reasons(rows: Sequence[Row], names: Sequence[str]) -> list[Section]:
    """Return each reason with its number of rows and some of them, by the first name they have."""
    counts = Counter(row["reason"] for row in rows)
    examples: dict[str, list[str]] = {reason: [] for reason in counts}
    for row in rows:
        if len(found := examples[row["reason"]]) < EXAMPLES:
            found.append(next((row[name][:EXAMPLE_LENGTH] for name in names if row[name]), ""))
    return [
        {"reason": reason, "count": count, "examples": "; ".join(filter(None, examples[reason]))}
        for reason, count in counts.most_common()
    ]
