"""Best Buy's open data set: 51,000 products in one JSON file, a label from its top categories."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, TypeAdapter, ValidationError

from stages.catalog.image_cells import read_image_cell
from stages.catalog.settings import BestBuySettings
from stages.catalog.sources.product import RawProduct
from stages.common.errors import InputError

MAX_BYTES = 500_000_000  # ten times the data set's size: more would not fit into memory as records


class _Record(BaseModel):
    """The fields that are read; the others of the schema (type, price, upc, …) are ignored."""

    model_config = ConfigDict(strict=True)


class _Category(_Record):
    name: str


class _Product(_Record):
    sku: int
    name: str | None
    category: list[_Category]  # from the top down
    description: str | None = None
    manufacturer: str | None = None
    image: str | None = None


_PRODUCTS = TypeAdapter(Annotated[list[_Product], FailFast()])


def read(settings: BestBuySettings, file: Path) -> Iterator[RawProduct]:
    """Yield the products of `file`, a copy of the file at `settings.products`.

    Raises InputError naming the first record and field that are not in the data set's schema.
    """
    try:
        products = _PRODUCTS.validate_json(file.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{settings.products} is not the products.json of the open data set "
            f"(data.bestbuy.products): {_explain(error, file)}"
        ) from None
    for product in products:
        yield RawProduct(
            sku=str(product.sku),
            name=product.name,
            description=product.description,
            manufacturer=product.manufacturer,
            label=product.category[0].name if product.category else None,
            image=read_image_cell(product.image, "url"),
        )


def _explain(error: ValidationError, file: Path) -> str:
    """Return pydantic's first error as the record's number, from 1, a field and a reason."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"{first['msg']}. Its copy, {file}, may be cut: remove it to fetch it anew"
    if not first["loc"]:
        return first["msg"]
    index, *field = first["loc"]
    where = f"product {int(index) + 1}" + (f", {'.'.join(map(str, field))}" if field else "")
    return f"{where}: {first['msg']}"
