"""What a source yields for each product of its catalogue."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RawProduct:
    """A product as its source has it: texts not cleaned yet, None or empty where there is nothing.

    `image` says where the picture is, as the column `image` of `tables.PRODUCTS` does.
    """

    sku: str | None
    name: str | None
    description: str | None
    manufacturer: str | None
    label: str | None
    image: str | None
