"""Read the catalogue from its source, clean it, and set aside what cannot be learnt from.

Run as `python -m stages.prepare`. Every product of the source ends in exactly one place:
data/products.parquet, or data/left_out.csv with the reason.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from stages.catalog.settings import min_class_size
from stages.catalog.sources.product import RawProduct
from stages.catalog.text_cleaning import clean
from stages.common.errors import InputError
from stages.common.files import atomic_file, write_json
from stages.common.process import run_stage
from stages.common.tables import PRODUCTS, write_table
from stages.params import Params, load_params

PRODUCTS_FILE = Path("data/products.parquet")
LEFT_OUT_FILE = Path("data/left_out.csv")
METRICS_FILE = Path("metrics/data.json")

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


class LeftOut(NamedTuple):
    """A row of left_out.csv; `row` is the product's number in the source, counted from 1."""

    row: int
    sku: str
    name: str
    label: str
    reason: str


def main() -> None:
    """Write the products that are kept, those that are left out, and how many there are of each."""
    params = load_params()
    products = [plain(raw) for raw in read_source(params)]
    kept, left_out = part(products, min_class_size(params.data))
    metrics = count(params.data.source, kept, left_out)
    _check_enough(params, metrics)
    rows = [product._asdict() for product in kept]
    write_table(PRODUCTS_FILE, pa.Table.from_pylist(rows, schema=PRODUCTS))
    write_left_out(LEFT_OUT_FILE, left_out)
    write_json(METRICS_FILE, metrics)
    print(
        f"prepare: kept {len(kept):,} of {len(products):,} products in "
        f"{metrics['classes']['all']} classes, {metrics['products']['without_picture']:,} of them "
        f"without a picture; left out: {_in_words(metrics['left_out'])}"
    )


def read_source(params: Params) -> Iterator[RawProduct]:
    """Return the products of `data.source`; only that source's module is imported."""
    match params.data.source:
        case "demo":
            from stages.catalog.sources import demo

            return demo.read(params.data, params.seed)
        case "bestbuy":
            from stages.catalog.sources import bestbuy

            return bestbuy.read(params.data, params.download)
        case "table":
            from stages.catalog.sources import table

            return table.read(params.data)


def plain(raw: RawProduct) -> Product:
    """Return a product with clean texts; what identifies it or its picture is only stripped."""
    return Product(
        sku=(raw.sku or "").strip(),
        name=clean(raw.name),
        description=clean(raw.description),
        manufacturer=clean(raw.manufacturer),
        label=clean(raw.label),
        image=(raw.image or "").strip() or None,
    )


def part(products: Sequence[Product], smallest_class: int) -> tuple[list[Product], list[LeftOut]]:
    """Part products into those that are kept and those that are left out, both in their order."""
    kept: list[Product] = []
    left_out: list[LeftOut] = []
    reasons = reasons_to_leave_out(products, smallest_class)
    for row, (product, reason) in enumerate(zip(products, reasons, strict=True), start=1):
        if reason is None:
            kept.append(product)
        else:
            left_out.append(LeftOut(row, product.sku, product.name, product.label, reason))
    return kept, left_out


def reasons_to_leave_out(products: Sequence[Product], smallest_class: int) -> list[str | None]:
    """Return, for each product, why it is left out, or None where it is kept.

    Of products with one sku the first that has a text and a label is kept. A class is too small
    if fewer than `smallest_class` of its products are left by then.
    """
    seen: set[str] = set()
    reasons: list[str | None] = []
    for product in products:
        reason = _flaw(product)
        if reason is None and product.sku in seen:
            reason = DUPLICATE_SKU
        if reason is None:
            seen.add(product.sku)
        reasons.append(reason)
    pairs = list(zip(products, reasons, strict=True))
    sizes = Counter(product.label for product, reason in pairs if reason is None)
    return [
        CLASS_TOO_SMALL if reason is None and sizes[product.label] < smallest_class else reason
        for product, reason in pairs
    ]


def _flaw(product: Product) -> str | None:
    """Return what a product lacks by itself, if anything."""
    if not product.sku:
        return NO_SKU
    if not product.name and not product.description:
        return EMPTY_TEXT
    if not product.label:
        return NO_LABEL
    return None


def count(source: str, kept: Sequence[Product], left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """Return the figures of metrics/data.json; classes come by size, the largest first."""
    reasons = Counter(product.reason for product in left_out)
    sizes = Counter(product.label for product in kept)
    return {
        "source": source,
        "products": {
            "read": len(kept) + len(left_out),
            "kept": len(kept),
            "without_picture": sum(product.image is None for product in kept),
        },
        "left_out": {"all": len(left_out)} | {reason: reasons[reason] for reason in REASONS},
        "classes": {
            "all": len(sizes),
            "sizes": dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))),
        },
    }


def _check_enough(params: Params, metrics: dict[str, Any]) -> None:
    """Raise InputError unless there are two classes to tell apart."""
    source = f"data.source: {params.data.source}"
    if not metrics["products"]["read"]:
        raise InputError(f"the catalogue ({source}) has no products: name another in params.yaml")
    if metrics["classes"]["all"] < 2:
        raise InputError(
            f"of the {metrics['products']['read']:,} products of the catalogue ({source}), "
            f"{metrics['products']['kept']:,} are left, in {metrics['classes']['all']} classes, "
            f"and two are needed; left out: {_in_words(metrics['left_out'])}. Lower "
            f"data.min_class_size (a class needs {min_class_size(params.data)} products), or look "
            f"whether the columns and labels are those that you mean"
        )


def _in_words(left_out: dict[str, int]) -> str:
    """Say how many products were left out for which reasons."""
    found = [f"{reason} {left_out[reason]:,}" for reason in REASONS if left_out[reason]]
    return ", ".join(found) or "none"


def write_left_out(path: Path, left_out: Iterable[LeftOut]) -> None:
    """Write the products that are left out as CSV, in the source's order."""
    with atomic_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LeftOut._fields)
        writer.writerows(left_out)


if __name__ == "__main__":
    run_stage(main)
