"""What more products cost: seconds and memory of every stage, and how they grow.

Run as `python -m benchmarks.scale`. The demo's source draws the products. Up to `--embed` of them
the images go through the networks; beyond, vectors of the same sizes are drawn, around a centre
for each class, for the networks' time is proportional to the images and their memory is the
shards'. `dvc status` and a `dvc repro` with nothing to do come last.
"""

import argparse
import hashlib
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.copies import Clone
from benchmarks.measure import machine
from stages.common import paths
from stages.common.tables import (
    PRODUCTS,
    embeddings_schema,
    read_table,
    to_arrow,
    write_batches,
)
from stages.encoders.weights.manifest import read_manifest
from stages.params import load_params

SIZES = {"resnet50": 2048, "convnextv2": 768}
CLASSIFIERS = ("logistic_regression", "svm", "random_forest", "mlp")


def main() -> None:
    """Run the stages at each number of products and print a table of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument("--embed", type=int, default=1000)
    parser.add_argument("--classifiers", nargs="+", default=list(CLASSIFIERS), choices=CLASSIFIERS)
    asked = parser.parse_args()
    print(f"{machine()}\nimages through the networks up to {asked.embed:,} products\n")
    found: dict[int, dict[str, tuple[float, float]]] = {}
    for count in sorted(asked.products):
        with tempfile.TemporaryDirectory() as name:
            top = Path(name) / "clone"
            found[count] = measured(top, count, count <= asked.embed, asked.classifiers)
            size = (top / "plots/report.html").stat().st_size / 1e6
        print(f"{count:,} products: seconds, GiB", flush=True)
        for stage, (seconds, memory) in found[count].items():
            print(f"  {stage:<34}{seconds:9.1f}{memory:8.2f}", flush=True)
        print(f"  plots/report.html: {size:.1f} MB", flush=True)
    few, many = min(found), max(found)
    if few < many:
        print(f"growth from {few:,} to {many:,}: time is proportional to products to the power of")
        for stage, (seconds, _) in found[many].items():
            if stage in found[few]:
                power = math.log(seconds / found[few][stage][0]) / math.log(many / few)
                print(f"  {stage:<34}{power:9.2f}")


def measured(
    top: Path, count: int, embeds: bool, classifiers: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Run every stage in a clone; return seconds and GiB of each."""

    def edit(params: Any) -> None:
        params["data"]["demo"]["products"] = count
        for name in set(CLASSIFIERS) - set(classifiers):
            del params["classifiers"][name]

    clone = Clone(top, edit)
    found = {
        stage: clone.run("python", "-m", f"stages.{stage}")
        for stage in ("prepare", "download_images", "split")
    }
    for encoder in (*SIZES, "minilm", "ngrams"):
        clone.run("python", "-m", "stages.fetch_weights", "--encoder", encoder)
        stage = "embed_images" if encoder in SIZES else "embed_text"
        if encoder in SIZES and not embeds:
            draw_vectors(top, encoder)
        else:
            run = ("python", "-m", f"stages.{stage}", "--encoder", encoder)
            found[f"{stage}@{encoder}"] = clone.run(*run)
    found["fuse"] = clone.run("python", "-m", "stages.fuse")
    for classifier in classifiers:
        run = ("python", "-m", "stages.train", "--classifier", classifier)
        found[f"train@{classifier}"] = clone.run(*run)
    for stage in ("evaluate", "package", "report"):
        found[stage] = clone.run("python", "-m", f"stages.{stage}")
    clone.run("dvc", "commit", "--force")
    clone.run("dvc", "status")
    found["dvc status"] = clone.run("dvc", "status")
    found["dvc repro, nothing to do"] = clone.run("dvc", "repro")
    return found


def draw_vectors(top: Path, encoder: str) -> None:
    """Write an encoder's table with vectors of its size that are drawn, not computed."""
    size = SIZES[encoder]
    rng = np.random.default_rng(0)
    products = read_table(top / paths.PRODUCTS, PRODUCTS)
    labels = dict(zip(*(products[key].to_pylist() for key in ("sku", "label")), strict=True))
    centres: dict[str, np.ndarray] = {}
    weights = read_manifest(top / paths.weights(encoder))

    def tables() -> Iterator[pa.Table]:
        for shard in sorted((top / paths.IMAGES).glob("*.parquet")):
            images = read_table(shard, columns=["sku", "sha256"])
            rows = rng.normal(size=(len(images), size)).astype(np.float32)
            for i, sku in enumerate(images["sku"].to_pylist()):
                label = labels[sku]
                if label not in centres:
                    seed = hashlib.sha256(f"{encoder} {label}".encode()).digest()
                    drawn = np.random.default_rng(list(seed)).normal(size=size)
                    centres[label] = drawn.astype(np.float32)
                rows[i] += 0.15 * centres[label]
            present = np.asarray(images["sha256"].is_valid())
            column = to_arrow(rows, present)
            yield images.append_column("embedding", column).cast(embeddings_schema(size))

    settings = load_params(top / paths.PARAMS).encoders[encoder].model_dump(mode="json")
    metadata = {
        "encoder": encoder,
        "settings": settings,
        "weights": weights.summary(),
        "backend": "none: drawn",
        "precision": "float32",
        "n_features": size,
        "image_size": 224,
    }
    (top / paths.network(encoder)).mkdir(parents=True)  # none in int8
    output = top / paths.embeddings("image", encoder)
    write_batches(output, embeddings_schema(size), tables(), metadata)


if __name__ == "__main__":
    main()
