"""What more rows cost a batch prediction: seconds and memory of `python -m serving.predict`.

Run as `python -m benchmarks.batch_memory`. The rows are texts of the demo's products, each with a
number of its own, in CSV and in Parquet of one row group; the model is n-grams and a logistic
regression, fitted here on a few hundred of them. The memory of many rows should be that of few.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import machine, positive
from stages.catalog.settings import DemoSettings
from stages.catalog.sources import demo
from stages.catalog.sources.product import RawProduct
from stages.catalog.validation import clean_product
from stages.classifiers.logistic_regression import Settings as ClassifierSettings
from stages.common.settings import TextFields
from stages.common.tables import PRODUCTS
from stages.common.texts import texts_of
from stages.encoders import hashed_ngrams
from stages.encoders.backends.base import Backend
from stages.fusion.features import Features, FeaturesMetadata, unit_length
from stages.fusion.fitting import Task
from stages.fusion.members import plan_members
from stages.fusion.model_file import ENCODERS, ModelFile
from stages.fusion.training import fit_models

TOP = Path(__file__).parents[1]
KIND = "logistic_regression"
FIELDS: TextFields = ["name", "name", "description"]
N_FEATURES, N_COMPONENTS = 16384, 512
FORMATS = ("csv", "parquet")
COLUMNS = ("sku", "name", "description")


def main() -> None:
    """Predict for each number of rows, and print seconds, rows per second and MiB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=positive, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    asked = parser.parse_args()
    print(f"{machine()}\n")
    products = list(demo.read(DemoSettings(products=2000), 42))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model", products)
        for ending in asked.formats:
            found = []
            for count in sorted(asked.rows):
                write_rows(table := folder / f"new.{ending}", products, count)
                seconds, memory = measured(table, folder / "model")
                found.append(memory)
                words = f"{seconds:8.1f} s {count / seconds:8,.0f} rows/s {memory:8.0f} MiB"
                print(f"{ending:<8} {count:>10,} rows {words}", flush=True)
            print(f"{ending:<8} memory of the most rows to the fewest: {found[-1] / found[0]:.2f}")


def write_model(folder: Path, products: list[RawProduct]) -> None:
    """Write a model of n-grams and logistic regression, as `train` and `package` do."""
    rows = [clean_product(raw)._asdict() for raw in products]
    table = pa.Table.from_pylist([row for row in rows if row["label"]], schema=PRODUCTS)
    labels = np.array(table["label"].to_pylist())
    settings = hashed_ngrams.Settings(kind="hashed_ngrams", n_features=N_FEATURES, fields=FIELDS)
    weights = folder / ENCODERS / "ngrams"
    weights.mkdir(parents=True)
    manifest = hashed_ngrams.fetch(settings, weights)
    encoder = hashed_ngrams.load(settings, weights, Backend("scikit-learn", "float32"))
    vectors = unit_length(encoder.encode(texts_of(table, FIELDS)))
    present = {"ngrams": np.ones(len(table), dtype=bool)}
    svd = {"ngrams": N_COMPONENTS}
    inputs = {"ngrams": "text"}
    features = Features({"ngrams": vectors}, present, {"ngrams": 1.0}, inputs, labels, svd)
    metadata = FeaturesMetadata({}, inputs, {}, {}, {"text": {"ngrams": 1.0}})
    entry = {"C": 100.0, "class_weight": None, "max_iter": 1000}
    roles = np.where(np.arange(len(table)) % 5 == 0, "validation", "train")
    task = Task(
        KIND,
        ClassifierSettings.model_validate(entry),
        "hybrid",
        42,
        plan_members(metadata, "hybrid"),
        sorted(set(labels.tolist())),
    )
    (models,) = fit_models(
        task,
        lambda chosen, block_weights: features.select_rows(chosen).select_blocks(block_weights),
        roles[:, None],
        np.zeros((len(table), 1), dtype=int),
    )
    trained = models["text"]
    trained.model.save(folder / "fold-1")
    ModelFile.model_validate(
        {
            "format": 1,
            "modality": "text",
            "classifier": {"kind": KIND, **entry},
            "fusion": "hybrid",
            "labels": trained.model.classes,
            "folder": "fold-1",
            "is_refit": False,
            "n_products": len(table),
            "seed": 42,
            "blocks": {
                "ngrams": {
                    "encoder": "ngrams",
                    "input": "text",
                    "n_features": N_FEATURES,
                    "svd_components": N_COMPONENTS,
                    "weight": 1.0,
                }
            },
            "encoders": {
                "ngrams": {
                    "settings": settings.model_dump(mode="json"),
                    "weights": manifest.summary(),
                    "fields": FIELDS,
                    "backend": "scikit-learn",
                    "precision": "float32",
                }
            },
            "image_size": None,
            "thresholds": {"0.95": 0.5},
            "versions": {},
            "provenance": {},
        }
    ).save(folder)


def write_rows(path: Path, products: list[RawProduct], count: int) -> None:
    """Write so many rows as CSV or Parquet; a number in each name makes them different."""
    rows: Iterator[tuple[str, str, str]] = (
        (str(number), f"{product.name} {number}", product.description or "")
        for number, product in enumerate(islice(cycle(products), count))
    )
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(rows)
    else:
        arrays = [pa.array(column) for column in zip(*rows, strict=True)]
        pq.write_table(pa.table(arrays, names=COLUMNS), path, row_group_size=count)


def measured(table: Path, model: Path) -> tuple[float, float]:
    """Predict in a process of its own; return its seconds and the most memory, in MiB."""
    flags = ["--output", str(table.with_name("out.parquet")), "--model", str(model), "--overwrite"]
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "serving.predict", str(table), *flags],
        cwd=TOP,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout  # it is a pipe
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):  # 3: a few of the demo's products have no text
        raise SystemExit(f"error: serving.predict failed:\n{said}")
    scale = 2**20 if sys.platform == "darwin" else 2**10  # there bytes, here KiB
    return time.perf_counter() - start, usage.ru_maxrss / scale


if __name__ == "__main__":
    main()
