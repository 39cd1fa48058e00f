"""Whether `python -m serving.predict` says of the test products what `evaluate` wrote of them.

Run as `python -m benchmarks.agreement` after `dvc repro`. The test products' texts are written to a
table and their images to files; the predictions for it are compared with those in
data/predictions/. Ends with code 1 where a label or one of the three most probable classes differs,
or a probability by more than 1e-6.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import model_folder
from stages.common import paths
from stages.common.tables import PRODUCTS, read_table
from stages.fusion.model_file import ModelFile

TOLERANCE = 1e-6


def main() -> None:
    """Predict for the test products and print how far the answers agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=model_folder, default=str(paths.BEST_MODEL))
    model = parser.parse_args().model
    file = ModelFile.load(model)
    if file.is_refit:
        sys.exit(
            f"{model} was fitted to the test products too: set split.folds 1, train.refit false"
        )
    name = file.name
    wanted = read_table(paths.PREDICTIONS / f"{name}.parquet").to_pylist()
    with tempfile.TemporaryDirectory() as folder:
        found = predict(model, write_products(Path(folder), [row["sku"] for row in wanted]))
    pairs = list(zip(wanted, found, strict=True))
    labels = sum(row["prediction"] != other["label"] for row, other in pairs)
    tops = sum(row["top3"] != [one["label"] for one in other["top"]] for row, other in pairs)
    furthest = max(abs(row["probability"] - (other["probability"] or 0)) for row, other in pairs)
    print(
        f"{name}: of {len(pairs):,} test products {labels} have another label and {tops} another "
        f"top 3; the probabilities differ by {furthest:.1e} at most"
    )
    if labels or tops or furthest > TOLERANCE:
        sys.exit(1)


def write_products(folder: Path, skus: list[str]) -> Path:
    """Write the products of these SKUs, in their order, as a table and files of images."""
    places = {sku: place for place, sku in enumerate(skus)}
    products = read_table(paths.PRODUCTS, PRODUCTS)
    rows: list[dict[str, Any]] = [{} for _ in skus]
    for row in products.select(PRODUCTS.names[:4]).to_pylist():
        if row["sku"] in places:
            rows[places[row["sku"]]] = {**row, "image_path": ""}
    for shard in paths.image_shards():
        for image in read_table(shard, columns=["sku", "jpeg"]).to_pylist():
            place = places.get(image["sku"])
            if place is not None and image["jpeg"] is not None:
                (folder / f"{place}.jpg").write_bytes(image["jpeg"])
                rows[place]["image_path"] = f"{place}.jpg"
    table = folder / "test.parquet"
    pq.write_table(pa.Table.from_pylist(rows), table)
    return table


def predict(model: Path, table: Path) -> list[dict[str, Any]]:
    """Return the rows that the command writes for a table."""
    output = table.with_name("predicted.parquet")
    flags = ["--output", str(output), "--model", str(model)]
    flags += [f"--column={name}={name}" for name in [*PRODUCTS.names[:4], "image_path"]]
    done = subprocess.run([sys.executable, "-m", "serving.predict", str(table), *flags])
    if done.returncode not in (0, 3):
        sys.exit("error: serving.predict failed")
    return pq.read_table(output).to_pylist()


if __name__ == "__main__":
    main()
