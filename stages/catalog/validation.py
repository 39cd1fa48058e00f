"""Which products are rejected, and why."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stages.catalog.labels import clean_label
from stages.catalog.missing_values import clean_text, is_null
from stages.catalog.sources.product import RawProduct
from stages.common.image_ref import ImageRef

NO_SKU = "no sku"
NO_INPUT = "no text and no image"
NO_LABEL = "no label"
DUPLICATE_SKU = "duplicate sku"
CLASS_TOO_SMALL = "class too small"
REASONS = (NO_SKU, NO_INPUT, NO_LABEL, DUPLICATE_SKU, CLASS_TOO_SMALL)


class Product(NamedTuple):
    """A row of `tables.PRODUCTS`."""

    sku: str
    name: str
    description: str
    manufacturer: str
    label: str
    image: str | None

    @property
    def unusable_image(self) -> str | None:
        """Why the image reference cannot be used, None where it may be or where there is none."""
        if not (self.image or "").startswith("unusable:"):
            return None
        return ImageRef.parse(self.image or "").reason


class Rejected(NamedTuple):
    """A row of data/rejected.csv; `row` is the product's number in the source, from 1."""

    row: int
    sku: str
    name: str
    label: str
    reason: str


def clean_product(raw: RawProduct) -> Product:
    """Return a product with clean text and the first of its images. The SKU is only stripped."""
    return Product(
        sku=(raw.sku or "").strip(),
        name=clean_text(raw.name),
        description=clean_text(raw.description),
        manufacturer=clean_text(raw.manufacturer),
        label=clean_label(raw.label),
        image=(raw.image or "").partition("\n")[0].strip() or None,
    )


def merge_labels(
    products: Sequence[Product], variants: Mapping[str, Mapping[str, int]]
) -> list[Product]:
    """Return the products, their labels spelt as `labels.label_variants` says."""
    spelling = {variant: label for label, found in variants.items() for variant in found}
    return [
        product._replace(label=spelling[product.label]) if product.label in spelling else product
        for product in products
    ]


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

    Of products with one SKU, the first that has a label, and a text or an image, is kept. Then a
    class is too small if it has fewer than `min_class_size` products left.
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


def contradicting_duplicates(products: Sequence[Product]) -> int:
    """Return how many products have the SKU of an earlier one that can be used, and another label.

    The earlier one is kept; see `rejection_reasons`.
    """
    labels: dict[str, str] = {}
    usable = [product for product in products if _missing(product) is None]
    return sum(labels.setdefault(product.sku, product.label) != product.label for product in usable)


def _missing(product: Product) -> str | None:
    """Return the reason to reject a product that lacks something, None if it lacks nothing."""
    if not product.sku or is_null(product.sku):
        return NO_SKU
    has_image = product.image is not None and product.unusable_image is None
    if not product.name and not product.description and not has_image:
        return NO_INPUT
    if not product.label:
        return NO_LABEL
    return None
