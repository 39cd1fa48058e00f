"""Best Buy's open data set: 51,000 products in one JSON file, a label from its top categories."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, TypeAdapter, ValidationError

from stages.catalog.settings import DataSettings
from stages.catalog.sources.product import RawProduct
from stages.common.errors import InputError
from stages.download.http import fetch_file
from stages.download.settings import DownloadSettings

MAX_BYTES = 500_000_000  # ten times the data set's size: more would not fit into memory as records


class _Record(BaseModel):
    """The fields that are read; the others of the schema (type, price, upc, …) are passed over."""

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


def read(data: DataSettings, download: DownloadSettings) -> Iterator[RawProduct]:
    """Yield the products of `data.bestbuy.products`, fetched through `data.mirror` if there is one.

    Raises InputError where the file cannot be had, or naming the first record and field that are
    not as the data set's schema has them.
    """
    url = data.bestbuy.products
    file = fetch_file(url, mirror=data.mirror, download=download, max_bytes=MAX_BYTES)
    try:
        products = _PRODUCTS.validate_json(file.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{url} is not the open data set's products.json (data.bestbuy.products): "
            f"{_explain(error)}"
        ) from None
    for product in products:
        yield RawProduct(
            sku=str(product.sku),
            name=product.name,
            description=product.description,
            manufacturer=product.manufacturer,
            label=product.category[0].name if product.category else None,
            image=product.image,
        )


def _explain(error: ValidationError) -> str:
    """Say pydantic's first complaint as a record's number, counted from 1, a field and a reason."""
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return first["msg"]
    index, *field = first["loc"]
    place = f"product {int(index) + 1}" + (f", {'.'.join(map(str, field))}" if field else "")
    return f"{place}: {first['msg']}"
