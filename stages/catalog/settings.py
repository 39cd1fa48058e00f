"""What params.yaml says of the catalogue: `data` and `split`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from stages.common.file_content import is_encoding
from stages.common.settings import HttpUrl, Name, PathOrUrl, Settings, Share


class DemoSettings(Settings):
    """The demo catalogue, which the pipeline makes itself."""

    products: Annotated[int, Field(ge=200, le=1_000_000)]


class BestBuySettings(Settings):
    """Best Buy's open data set."""

    products: HttpUrl


class TableColumns(Settings):
    """How a table of products is read, and its columns; None where it lacks one."""

    sheet: Name | None
    encoding: Name | None = None
    sku: Name | None
    name: Name | None
    description: Name | None
    manufacturer: Name | None
    label: Name | None
    image_url: Name | None
    image_path: Name | None
    archive: PathOrUrl | None

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and not is_encoding(value):
            raise ValueError("name an encoding that Python knows, such as cp1252")
        return value

    @model_validator(mode="after")
    def _images_have_one_column(self) -> "TableColumns":
        if self.image_url and self.image_path:
            raise ValueError("name image_url or image_path, not both")
        if self.archive and not self.image_path:
            raise ValueError("archive needs image_path: the column with the images' names in it")
        return self


class TableSettings(TableColumns):
    """Your own catalogue: a file, and the names of its columns."""

    path: Name
    sku: Name
    label: Name


class DataSettings(Settings):
    """Where the products come from."""

    source: Literal["demo", "bestbuy", "table"]
    min_class_size: Literal["auto"] | Annotated[int, Field(ge=3)]
    merge_label_variants: bool = True
    mirror: HttpUrl | None
    folder: Path = Field(strict=False)
    demo: DemoSettings
    bestbuy: BestBuySettings
    table: TableSettings


class SplitSettings(Settings):
    """How products are held out.

    `grouped` keeps near-duplicates together, and so products that are equal in one of the columns
    of `group_by`. With one fold, a share `test` is held out for testing; with several folds, each
    product is tested in one of them. With one validation fold, a share `validation` is held out;
    with several, the products that are not for testing take turns, and the final model is fitted on
    all of them. `auto` is 5 for fewer than 5,000 products, of which one part would say little, if
    most of them are of classes with groups enough, else 1.
    """

    strategy: Literal["grouped", "stratified"]
    group_by: list[Literal["manufacturer"]]
    folds: Annotated[int, Field(ge=1, le=20)]
    test: Share
    validation_folds: Annotated[int, Field(ge=1, le=20)] | Literal["auto"]
    validation: Share

    @model_validator(mode="after")
    def _some_are_left_to_train_on(self) -> "SplitSettings":
        if self.validation + test_share(self) >= 1:
            raise ValueError("validation and test must leave products to train on: less than 1")
        if self.group_by and self.strategy != "grouped":
            raise ValueError("group_by needs the strategy grouped")
        return self


def min_class_size(data: DataSettings) -> int:
    """Return the number of products below which a class is rejected."""
    if data.min_class_size != "auto":
        return data.min_class_size
    return 100 if data.source == "bestbuy" else 10


def test_share(split: SplitSettings) -> float:
    """Return the share of the products that is for testing in a fold."""
    return split.test if split.folds == 1 else 1 / split.folds
