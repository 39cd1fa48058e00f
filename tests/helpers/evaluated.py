"""A folder with what the report reads: what evaluate has left of models that were drawn."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from helpers.trained_models import Mistakes, TrainedModels
from PIL import Image

from stages import evaluate
from stages.common.splits import Splits, write_splits
from stages.common.tables import IMAGES, PRODUCTS, read_table, write_table

REJECTED = [
    {"row": 3, "sku": "s99", "name": "Cable & <b>Co</b>", "label": "", "reason": "no label"}
]
FAILED = [{"sku": "s19", "reference": "http://x/19.jpg", "reason": "HTTP 404"}]


class Evaluated:
    """Writes it into the working directory; each product's image has a colour of its own."""

    def __init__(self, classifiers: Sequence[str] = ("svm", "mlp")) -> None:
        self.models = TrainedModels(classifiers)
        self.names: dict[str, str] = {}  # by sku; others are called as TrainedModels calls them

    def write(self, wrong: Mistakes | None = None) -> None:
        """Write it, with so many mistakes as TrainedModels.write says."""
        self.models.write(wrong)
        self._name_products()
        _write_images(self.models.skus)
        self._write_split()
        _write_metrics(self.models.labels)
        evaluate.main()
        for path, rows in (("rejected", REJECTED), ("failed_images", FAILED)):
            _write_rows(Path(f"data/{path}.csv"), rows)
        points = zip(self.models.skus, self.models.labels, strict=True)
        rows = [
            {"sku": sku, "label": label, "x": i % 7, "y": i % 5}
            for i, (sku, label) in enumerate(points)
        ]
        for modality in self.models.params["modalities"]:
            _write_rows(Path(f"plots/pca/{modality}.csv"), rows)

    def _name_products(self) -> None:
        path = Path("data/products.parquet")
        table = read_table(path, PRODUCTS)
        skus, names = (table[key].to_pylist() for key in ("sku", "name"))
        named = [self.names.get(sku, name) for sku, name in zip(skus, names, strict=True)]
        images = pa.array([f"http://x/{sku}.jpg" for sku in skus])
        columns = [
            pa.array(named) if key == "name" else images if key == "image" else table[key]
            for key in PRODUCTS.names
        ]
        write_table(path, pa.table(columns, schema=PRODUCTS))

    def _write_split(self) -> None:
        roles = np.array(["train"] * 12 + ["validation"] * 6 + ["test"] * 12)[:, None]
        skus, labels = np.array(self.models.skus, dtype=object), np.array(self.models.labels)
        groups = np.array([f"g{i // 2}" for i in range(30)])
        turns = np.zeros(roles.shape, np.int32)
        write_splits(Path("data/splits.parquet"), Splits(skus, labels, groups, roles, turns))


def _write_images(skus: Sequence[str]) -> None:
    """Write an image for every product but s19."""
    jpegs = []
    for i in range(len(skus)):
        file = io.BytesIO()
        Image.new("RGB", (224, 224), (8 * i, 255 - 8 * i, 128)).save(file, "JPEG")
        jpegs.append(None if skus[i] == "s19" else file.getvalue())
    has = [jpeg is not None for jpeg in jpegs]
    columns = [
        list(skus),
        jpegs,
        ["0" * 64 if there else None for there in has],
        [None] * len(skus),
        ["ok" if there else "failed" for there in has],
        [None if there else "HTTP 404" for there in has],
    ]
    for file in Path("data/images").iterdir():
        file.unlink()
    arrays = [pa.array(c, f.type) for c, f in zip(columns, IMAGES, strict=True)]
    write_table(Path("data/images/images.parquet"), pa.table(arrays, schema=IMAGES))


def _write_metrics(labels: Sequence[str]) -> None:
    sizes = {label: labels.count(label) for label in set(labels)}
    metrics = {
        "data": {
            "source": "demo",
            "products": {"read": 31, "kept": 30},
            "classes": {"all": len(sizes), "sizes": sizes},
        },
        "images": {"products": {"ok": 29, "failed": 1, "none": 0}},
        "split": {
            "groups": {"all": 15, "of_two_or_more": 15, "products_in_those": 30},
            "test_products_with_a_near_duplicate_in_training": {
                "this_split": {"share": 0.25},
                "stratified": {"share": 0.5},
            },
        },
    }
    for name, content in metrics.items():
        Path(f"metrics/{name}.json").write_text(json.dumps(content))


def _write_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
