"""What the stages before have left: the metrics, predictions and lists that the report shows."""

import csv
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.common import paths
from stages.common.errors import InputError
from stages.common.files import read_json
from stages.common.tables import PRODUCTS, SPLITS, read_table
from stages.evaluation.predictions import PREDICTIONS

Row = Mapping[str, str]


@dataclass(frozen=True)
class Product:
    """A product as the report shows it."""

    name: str
    description: str
    manufacturer: str
    label: str
    group: str  # of near-duplicates, and of what split.group_by keeps together
    has_image: bool


@dataclass(frozen=True)
class Predicted:
    """What a model predicts for a test product."""

    prediction: str
    probability: float


@dataclass(frozen=True)
class Results:
    """All that the report shows. Products and predictions are by sku."""

    models: Mapping[str, Any]  # metrics/<name>.json each
    headline: Mapping[str, Any]
    summary: Mapping[str, Any]
    data: Mapping[str, Any]
    split: Mapping[str, Any]
    products: Mapping[str, Product]
    predictions: Mapping[str, Mapping[str, Predicted]]  # of each modality's best model
    label_issues: Sequence[Row]
    rejected: Sequence[Row]
    failed_images: Sequence[Row]

    @property
    def best_modality(self) -> str:
        """The modality of the best model of all."""
        best, headline = self.headline["best_model"], self.headline
        return next(name for name in self.models if best == f"{name}-{headline[name]['model']}")


def read_results() -> Results:
    """Read the results. Raises InputError where one is missing."""
    metrics = {
        name: read_json(paths.METRICS / f"{name}.json")
        for name in ("models", "headline", "summary", "data", "split")
    }
    chosen = {name: f"{name}-{metrics['headline'][name]['model']}" for name in metrics["models"]}
    failed = read_rows(paths.FAILED_IMAGES)
    return Results(
        **metrics,
        products=_products({row["sku"] for row in failed}),
        predictions={
            name: _predictions(paths.PREDICTIONS / f"{model}.parquet")
            for name, model in chosen.items()
        },
        label_issues=read_rows(paths.LABEL_ISSUES),
        rejected=read_rows(paths.REJECTED),
        failed_images=failed,
    )


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a CSV file by column. Raises InputError where it is missing."""
    if not path.exists():
        raise InputError(f"{path} is not there: `dvc repro` builds it")
    csv.field_size_limit(sys.maxsize)  # or a name of more than 128 KiB is refused
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _products(failed: Collection[str]) -> dict[str, Product]:
    """Return the products by sku; the images of those that `failed` names are missing."""
    splits = read_table(paths.SPLITS, SPLITS)
    groups = dict(zip(_column(splits, "sku"), _column(splits, "group"), strict=True))
    table = read_table(paths.PRODUCTS, PRODUCTS)
    texts = (_column(table, key) for key in ("sku", "name", "description", "manufacturer", "label"))
    has_image = pc.is_valid(table["image"]).to_pylist()
    return {
        sku: Product(
            name, description, manufacturer, label, groups[sku], image and sku not in failed
        )
        for sku, name, description, manufacturer, label, image in zip(
            *texts, has_image, strict=True
        )
    }


def _predictions(path: Path) -> dict[str, Predicted]:
    table = read_table(path, PREDICTIONS)
    columns = (_column(table, key) for key in ("sku", "prediction", "probability"))
    rows: Iterable[tuple[str, str, float]] = zip(*columns, strict=True)
    return {sku: Predicted(prediction, probability) for sku, prediction, probability in rows}


def _column(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist()
