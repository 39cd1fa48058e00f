"""What metrics/data.json says of the catalogue, and what the stage prints of it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stages.catalog.label_parts import shared_parts
from stages.catalog.labels import missing_labels
from stages.catalog.settings import DataSettings
from stages.catalog.validation import REASONS, Product, Rejected, contradicting_duplicates
from stages.common.errors import InputError

EXAMPLES = 3  # that a line shows; metrics/data.json has all


def data_metrics(
    source: str,
    products: Sequence[Product],
    kept: Sequence[Product],
    rejected: Sequence[Rejected],
) -> dict[str, Any]:
    """Return the content of metrics/data.json; classes are by size, the largest first.

    `products` are all that were read, with the labels that they have after merging.
    """
    reasons = Counter(product.reason for product in rejected)
    sizes = Counter(product.label for product in kept)
    labels = [product.label for product in products]
    return {
        "source": source,
        "products": {
            "read": len(products),
            "kept": len(kept),
            "without_image": sum(product.image is None for product in kept),
            "without_text": sum(not product.name + product.description for product in kept),
            "duplicates_with_another_label": contradicting_duplicates(products),
        },
        "rejected": {"all": len(rejected)} | {reason: reasons[reason] for reason in REASONS},
        "labels": {
            "like_missing_values": missing_labels(labels),
            "sharing_parts": shared_parts(labels),
        },
        "classes": {"all": len(sizes), "sizes": _by_size(sizes)},
    }


def image_metrics(n_several_images: int, products: Sequence[Product]) -> dict[str, Any]:
    """Return how many products have several images, and why others cannot be used, by reason."""
    reasons = Counter(product.unusable_image for product in products if product.unusable_image)
    return {
        "cells_with_several": n_several_images,
        "unusable": _by_size(reasons),
    }


def check_enough(metrics: Mapping[str, Any], min_class_size: int) -> None:
    """Raise InputError unless `data_metrics` counts at least two classes."""
    source = f"data.source: {metrics['source']}"
    if not metrics["products"]["read"]:
        raise InputError(f"the catalogue ({source}) has no products: name another in params.yaml")
    if metrics["classes"]["all"] < 2:
        raise InputError(
            f"of the {metrics['products']['read']:,} products of the catalogue ({source}), "
            f"{metrics['products']['kept']:,} are left, in {metrics['classes']['all']} classes; "
            f"at least two classes are needed. Rejected: {count_words(metrics['rejected'])}. "
            f"Lower data.min_class_size (a class needs {min_class_size} products), or check the "
            "columns and labels"
        )


def summary(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines that say what was done, guessed and found odd."""
    products, labels, images = metrics["products"], metrics["labels"], metrics["images"]
    yield (
        f"kept {products['kept']:,} of {products['read']:,} products in "
        f"{metrics['classes']['all']} classes, {products['without_image']:,} of them without an "
        f"image and {products['without_text']:,} without a text; "
        f"rejected: {count_words(metrics['rejected'])}"
    )
    if products["without_image"] == products["kept"]:
        yield "no product has an image: only text models will be trained"
    if products["without_text"] == products["kept"]:
        yield "no product has a text: only image models will be trained"
    if merged := labels["merged"]:
        examples = (
            f"{label!r} for {', '.join(map(repr, list(found)[1:]))}"
            for label, found in merged.items()
        )
        yield f"labels that look alike were merged: {_first(examples, len(merged), 'classes')}"
    if missing := labels["like_missing_values"]:
        texts = (
            f"{_counted(count, 'label is', 'labels are')} the text {label!r}"
            for label, count in missing.items()
        )
        yield (
            "warning: labels that look like missing values are classes like any other: "
            f"{_first(texts, len(missing), 'texts')}. Empty the cells if they stand for no label"
        )
    if shared := labels["sharing_parts"]:
        pairs = (" beside ".join(map(repr, list(found)[:EXAMPLES])) for found in shared.values())
        yield (
            f"warning: labels share parts: {_first(pairs, len(shared), 'parts')}. A product has "
            "one label: if cells have several categories, leave one in each"
        )
    if count := images["cells_with_several"]:
        products_have = _counted(count, "product has", "products have")
        yield f"{products_have} several images: the first reference is taken, no other is tried"
    if reasons := images["unusable"]:
        words = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.items())
        references = _counted(sum(reasons.values()), "image reference", "image references")
        yield f"warning: {references} cannot be used: {words}"
    if count := products["duplicates_with_another_label"]:
        products_have = _counted(count, "product has", "products have")
        yield (
            f"warning: {products_have} the SKU of an earlier one and another label: the "
            "earlier one is taken; see duplicate sku in data/rejected.csv"
        )


def empty_columns(data: DataSettings, products: Sequence[Product]) -> Iterator[str]:
    """Yield a warning for each column of a table that is named and holds nothing of any product.

    `products` are all that were read. A spreadsheet's formulas are empty if no program that wrote
    the file has computed them.
    """
    for key in ("name", "description", "manufacturer", "image_url", "image_path"):
        column = getattr(data.table, key) if data.source == "table" else None
        field = "image" if key.startswith("image") else key
        if column is not None and not any(getattr(product, field) for product in products):
            yield (
                f"warning: no product has a value in the column {column!r} (data.table.{key}): "
                "if its cells are formulas, open the workbook and save it; else name another "
                "column, or null"
            )


def count_words(rejected: Mapping[str, int]) -> str:
    """Return how many products were rejected for which reasons, in words."""
    found = [f"{reason} {rejected[reason]:,}" for reason in REASONS if rejected[reason]]
    return ", ".join(found) or "none"


def _by_size(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _counted(count: int, one: str, many: str) -> str:
    """Return a number with the words for one or for many."""
    return f"{count:,} {one if count == 1 else many}"


def _first(texts: Iterator[str], count: int, unit: str) -> str:
    """Return the first texts, and how many more there are."""
    shown = [text for text, _ in zip(texts, range(EXAMPLES), strict=False)]
    more = count - len(shown)
    return "; ".join(shown) + (f"; and {more:,} more {unit}" if more else "")
