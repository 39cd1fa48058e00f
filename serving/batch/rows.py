"""The rows of a table as products, their images not loaded yet."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from serving.batch.wording import in_flags
from serving.products import Product
from stages.catalog.settings import TableColumns
from stages.catalog.sources.product import RawProduct
from stages.catalog.sources.readers.rows import RowError
from stages.catalog.sources.table import read_rows
from stages.catalog.validation import clean_product
from stages.download.image_loader import Reference
from stages.download.product_images import parse_reference

T = TypeVar("T")


@dataclass(frozen=True)
class InputRow:
    """A product without its image, and where that is; Failure where this is no reference."""

    product: Product
    image: Reference


def read_input(
    table: Path, columns: TableColumns, images: Path, skip: int = 0
) -> Iterator[InputRow]:
    """Yield the rows of a table after the first `skip`; a row that cannot be read has an `error`.

    Texts are cleaned as `prepare` does; paths of images start in the folder `images`. Where the
    table has no column of SKUs, the number of the row stands for it. Raises InputError where the
    table as a whole cannot be read.
    """
    found = read_rows(table, columns, tables=table.parent, images=images)
    rows = islice(found, skip, None)
    for number, (_, raw) in enumerate(rows, start=skip + 1):
        yield _input_row(raw, None if columns.sku else str(number))


def _input_row(raw: RawProduct | RowError, sku: str | None) -> InputRow:
    if isinstance(raw, RowError):
        sku = (raw.sku or "").strip() or sku
        return InputRow(Product(sku=sku, error=in_flags(f"{raw.reason}: {raw.fix}")), None)
    clean = clean_product(raw)
    product = Product(clean.sku or sku, clean.name, clean.description, clean.manufacturer)
    return InputRow(product, parse_reference(clean.image))


def chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items, the last one of fewer."""
    while chunk := list(islice(items, size)):
        yield chunk
