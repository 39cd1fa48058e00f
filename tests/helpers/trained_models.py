"""A folder with what evaluate reads: parameters, products, images and trained models."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from helpers.repository import TOP
from PIL import Image
from ruamel.yaml import YAML

from stages.common.tables import IMAGES, PRODUCTS, probabilities_schema, to_arrow, write_table
from stages.evaluation.plot_data import HISTORY

CLASSES = ["audio", "cables, long", "games"]
WEIGHTS = {"resnet50": "random", "convnextv2": "random", "minilm": "bundled"}
Mistakes = Mapping[str, tuple[int, int]]


class TrainedModels:
    """Writes it into the working directory.

    Of the 30 products the last 12 are for testing and the 6 before them for validation; a test may
    add another fold to `folds`.
    """

    def __init__(self, classifiers: Sequence[str] = ("svm", "mlp")) -> None:
        self.params: dict[str, Any] = YAML(typ="safe").load(TOP / "params.yaml")
        known = self.params["classifiers"]
        self.params["classifiers"] = {name: known[name] for name in classifiers}
        self.params["ensemble"]["classifiers"] = []
        self.labels = [CLASSES[i % 3] for i in range(30)]
        self.skus = [f"s{i}" for i in range(30)]
        self.folds = {1: {"validation": list(range(12, 18)), "test": list(range(18, 30))}}

    def write(self, wrong: Mistakes | None = None, ablated_wrong: Mistakes | None = None) -> None:
        """Write it all.

        `wrong` has the mistakes of a model on validation and test, `ablated_wrong` those on test
        without images and without text.
        """
        Path("params.yaml").write_text(json.dumps(self.params))
        texts = [self.skus, [f"Product {sku}" for sku in self.skus], *[[""] * 30] * 2, self.labels]
        columns = [pa.array(column) for column in texts] + [pa.array([None] * 30, pa.string())]
        write_table(Path("data/products.parquet"), pa.table(columns, schema=PRODUCTS))
        leak = {"test_products_with_a_near_duplicate_in_training": {"this_split": {"share": 0.25}}}
        Path("metrics").mkdir(exist_ok=True)
        Path("metrics/split.json").write_text(json.dumps(leak))
        self.write_images()
        for modality, entry in self.params["modalities"].items():
            for classifier in self.params["classifiers"]:
                name = f"{modality}-{classifier}"
                mistakes = (wrong or {}).get(name, (1, 2))
                without = (ablated_wrong or {}).get(name, (2, 2))
                self.write_model(modality, classifier, mistakes, without, _encoders(entry))

    def write_images(self) -> None:
        """Write two shards: s18 has a red image, the others have none."""
        file = io.BytesIO()
        Image.new("RGB", (224, 224), "red").save(file, "JPEG")
        for shard, rows in enumerate((range(15), range(15, 30))):
            has = [i == 18 for i in rows]
            columns = [
                [self.skus[i] for i in rows],
                [file.getvalue() if there else None for there in has],
                ["0" * 64 if there else None for there in has],
                [None] * 15,
                ["ok" if there else "none" for there in has],
                [None] * 15,
            ]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, IMAGES, strict=True)]
            write_table(Path(f"data/images/{shard}.parquet"), pa.table(arrays, schema=IMAGES))

    def write_model(
        self,
        modality: str,
        classifier: str,
        mistakes: tuple[int, int],
        without: tuple[int, int],
        encoders: Sequence[str],
    ) -> None:
        """Write a model that predicts the next class for the first so many products.

        Its predictions have a probability of 0.8, of 0.6 before calibration. It has both inputs if
        it has two kinds of encoders.
        """
        rows: list[tuple[int, int, str, str, int]] = []
        for fold, roles in self.folds.items():
            for role, count in zip(("validation", "test"), mistakes, strict=True):
                rows += [(i, fold, role, "", int(n < count)) for n, i in enumerate(roles[role])]
            if len({WEIGHTS[name] for name in encoders}) == 2:
                for name, count in zip(("image", "text"), without, strict=True):
                    test = enumerate(roles["test"])
                    rows += [(i, fold, "test", name, int(n < count)) for n, i in test]
        vectors = []
        for probability in (0.8, 0.6):
            vectors.append(np.full((len(rows), 3), (1 - probability) / 2, dtype=np.float32))
            for row, (i, *_, shift) in enumerate(rows):
                vectors[-1][row, (CLASSES.index(self.labels[i]) + shift) % 3] = probability
        columns = [
            pa.array([self.skus[row[0]] for row in rows]),
            pa.array([self.labels[row[0]] for row in rows]),
            pa.array([f"g{row[0] // 2}" for row in rows]),
            pa.array([row[1] for row in rows], pa.int32()),
            pa.array([row[2] for row in rows]),
            pa.array([row[3] for row in rows]),
            *map(to_arrow, vectors),
        ]
        metadata = {
            "classes": CLASSES,
            "weights": {name: WEIGHTS[name] for name in encoders},
            "n_without_input": {"validation": 0, "test": 3},
        }
        folder = Path("models/trained") / classifier / modality
        table = pa.table(columns, schema=probabilities_schema(3))
        write_table(folder / "probabilities.parquet", table, metadata)
        if classifier == "mlp":
            lines = [",".join(HISTORY), "1,1,1.5,1.6,0.3,0.2", "1,2,1.1,1.4,0.5,0.4"]
            (folder / "history.csv").write_text("\n".join(lines) + "\n")


def _encoders(entry: Mapping[str, Any]) -> list[str]:
    within = {"image": ["resnet50", "convnextv2"], "text": ["minilm"]}
    return within.get(entry["embeddings"].rsplit("/")[-1], [*within["image"], *within["text"]])
