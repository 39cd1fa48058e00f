"""Which products are rejected, and why; and what metrics/data.json says of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stages.catalog.sources.product import RawProduct
from stages.catalog.text_cleaning import clean
from stages.common.errors import InputError

NO_SKU = "no sku"
EMPTY_TEXT = "empty text"
NO_LABEL = "no label"
DUPLICATE_SKU = "duplicate sku"
CLASS_TOO_SMALL = "class too small"
REASONS = (NO_SKU, EMPTY_TEXT, NO_LABEL, DUPLICATE_SKU, CLASS_TOO_SMALL)


class Product(NamedTuple):
    """A row of `tables.PRODUCTS`."""

    sku: str
    name: str
    description: str
    manufacturer: str
    label: str
    image: str | None


class Rejected(NamedTuple):
    """A row of data/rejected.csv; `row` is the product's number in the source, from 1."""

    row: int
    sku: str
    name: str
    label: str
    reason: str


def clean_product(raw: RawProduct) -> Product:
    """Return a product with clean text. The SKU and the image reference are only stripped."""
    return Product(
        sku=(raw.sku or "").strip(),
        name=clean(raw.name),
        description=clean(raw.description),
        manufacturer=clean(raw.manufacturer),
        label=clean(raw.label),
        image=(raw.image or "").strip() or None,
    )


def reject_invalid(
    products: Sequence[Product], min_class_size: int
) -> tuple[list[Product], list[Rejected]]:
    """Return the products that are kept and those that are rejected, both in their order."""
    kept: list[Product] = []
    rejected: list[Rejected] = []
    reasons = rejection_reasons(products, min_class_size)
    for row, (product, reason) in enumerate(zip(products, reasons, strict=True), start=1):
        if reason is None:
            kept.append(product)
        else:
            rejected.append(Rejected(row, product.sku, product.name, product.label, reason))
    return kept, rejected


def rejection_reasons(products: Sequence[Product], min_class_size: int) -> list[str | None]:
    """Return why each product is rejected, None where it is kept.

    Of products with one SKU, the first that has a text and a label is kept. Then a class is too
    small if it has fewer than `min_class_size` products left.
    """
    seen: set[str] = set()
    reasons: list[str | None] = []
    for product in products:
        reason = _missing(product)
        if reason is None and product.sku in seen:
            reason = DUPLICATE_SKU
        if reason is None:
            seen.add(product.sku)
        reasons.append(reason)
    pairs = list(zip(products, reasons, strict=True))
    sizes = Counter(product.label for product, reason in pairs if reason is None)
    return [
        CLASS_TOO_SMALL if reason is None and sizes[product.label] < min_class_size else reason
        for product, reason in pairs
    ]


def _missing(product: Product) -> str | None:
    """Return the reason to reject a product that lacks something, None if it lacks nothing."""
    if not product.sku:
        return NO_SKU
    if not product.name and not product.description:
        return EMPTY_TEXT
    if not product.label:
        return NO_LABEL
    return None


def data_metrics(
    source: str, kept: Sequence[Product], rejected: Sequence[Rejected]
) -> dict[str, Any]:
    """Return the content of metrics/data.json; classes are by size, the largest first."""
    reasons = Counter(product.reason for product in rejected)
    sizes = Counter(product.label for product in kept)
    return {
        "source": source,
        "products": {
            "read": len(kept) + len(rejected),
            "kept": len(kept),
            "without_image": sum(product.image is None for product in kept),
        },
        "rejected": {"all": len(rejected)} | {reason: reasons[reason] for reason in REASONS},
        "classes": {
            "all": len(sizes),
            "sizes": dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))),
        },
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


def count_words(rejected: Mapping[str, int]) -> str:
    """Return how many products were rejected for which reasons, in words."""
    found = [f"{reason} {rejected[reason]:,}" for reason in REASONS if rejected[reason]]
    return ", ".join(found) or "none"
