"""What more products cost: seconds and memory of every stage, and how they grow.

Run as `python -m benchmarks.scale`. The demo's source draws the products. Up to `--embed` of them
the images go through the networks; beyond, vectors of the same sizes are drawn, around a centre
for each class, for the networks' time is proportional to the images and their memory is the
shards'. With `--texts-only` the products come from a table without images, and n-grams are their
only encoder; with `--embed-only` nothing is trained, and the encoder is a network of one small
layer or, with `--embed-only ngrams`, n-grams.
`dvc status` and a `dvc repro` with nothing to do come last.
"""

import argparse
import csv
import hashlib
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.copies import TOP, Clone
from benchmarks.measure import machine, positive
from stages.catalog.settings import DemoSettings
from stages.catalog.sources import demo
from stages.common import paths
from stages.common.tables import (
    PRODUCTS,
    embeddings_schema,
    read_table,
    to_arrow,
    write_batches,
)
from stages.encoders.weights.manifest import read_manifest
from stages.encoders.weights.obtain import obtain_weights
from stages.params import load_params

SIZES = {"resnet50": 2048, "convnextv2": 768}
SEED = 42
MIN_PRODUCTS = 200
PREPARED = ("prepare", "download_images", "split")
CLASSIFIERS = ("logistic_regression", "svm", "random_forest", "mlp")


def main() -> None:
    """Run the stages at each number of products and print a table of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=positive, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument("--embed", type=int, default=1000)
    parser.add_argument("--classifiers", nargs="+", default=list(CLASSIFIERS), choices=CLASSIFIERS)
    parser.add_argument("--texts-only", action="store_true")
    parser.add_argument("--embed-only", nargs="?", const="small", choices=["small", "ngrams"])
    parser.add_argument("--compute", choices=["local", "ray"], default="local")
    asked = parser.parse_args()
    if min(asked.products) < MIN_PRODUCTS:
        parser.error(f"--products: the demo's source draws {MIN_PRODUCTS} or more")
    texts_only = asked.texts_only or asked.embed_only is not None
    what = f"images through the networks up to {asked.embed:,} products"
    print(f"{machine()}\n{'texts only' if texts_only else what}, compute: {asked.compute}\n")

    def edit(params: Any) -> None:
        params["compute"] = asked.compute
        for name in set(CLASSIFIERS) - set(asked.classifiers):
            del params["classifiers"][name]
        known = params["ensemble"]["classifiers"]
        params["ensemble"]["classifiers"] = [name for name in known if name in asked.classifiers]

    found: dict[int, dict[str, tuple[float, float]]] = {}
    for count in sorted(asked.products):
        with tempfile.TemporaryDirectory() as name:
            top = Path(name) / "clone"
            if texts_only:
                encoder = asked.embed_only or "ngrams"
                clone, found[count] = embed_catalogue(top, count, edit, encoder)
            else:
                clone, found[count] = embed_demo(top, count, count <= asked.embed, edit)
            if not asked.embed_only:
                found[count] |= train_and_evaluate(clone, asked.classifiers)
        print(f"{count:,} products: seconds, GiB", flush=True)
        for stage, (seconds, memory) in found[count].items():
            print(f"  {stage:<34}{seconds:9.1f}{memory:8.2f}", flush=True)
    few, many = min(found), max(found)
    if few < many:
        print(f"growth from {few:,} to {many:,}: time is proportional to products to the power of")
        for stage, (seconds, _) in found[many].items():
            if stage in found[few]:
                power = math.log(seconds / found[few][stage][0]) / math.log(many / few)
                print(f"  {stage:<34}{power:9.2f}")


def embed_demo(
    top: Path, count: int, embeds: bool, edit: Callable[[Any], None]
) -> tuple[Clone, dict[str, tuple[float, float]]]:
    """Embed products of the demo in a clone; return it, and seconds and GiB of each stage."""

    def edit_all(params: Any) -> None:
        params["data"]["demo"]["products"] = count
        edit(params)

    clone = Clone(top, edit_all)
    found = run_stages(clone, PREPARED)
    for encoder in SIZES:
        clone.run("python", "-m", "stages.fetch_weights", "--encoder", encoder)
        if embeds:
            run = ("python", "-m", "stages.embed_images", "--encoder", encoder)
            found[f"embed_images@{encoder}"] = clone.run(*run)
        else:
            draw_vectors(top, encoder)
    return clone, found | embed_texts(clone, ("minilm", "ngrams"))


def embed_catalogue(
    top: Path, count: int, edit: Callable[[Any], None], encoder: str
) -> tuple[Clone, dict[str, tuple[float, float]]]:
    """Embed a table of texts; return the clone, and seconds and GiB of each stage."""

    def edit_all(params: Any) -> None:
        params["data"]["source"] = "table"
        params["image"]["encoders"].clear()
        params["text"]["encoders"] = [encoder]
        params["encoders"]["small"] = {
            "kind": "huggingface_text",
            "model": "a/small-network",
            "path": "small",
        }
        for modality in ("image", "multimodal"):
            del params["modalities"][modality]
        edit(params)

    clone = Clone(top, edit_all)
    write_small_network(top / "small")
    write_catalogue(top / "data" / "catalogue" / "products.csv", count)
    return clone, run_stages(clone, PREPARED) | embed_texts(clone, [encoder])


def run_stages(clone: Clone, stages: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Run stages without arguments; return seconds and GiB of each."""
    return {stage: clone.run("python", "-m", f"stages.{stage}") for stage in stages}


def embed_texts(clone: Clone, encoders: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Embed texts by each encoder; return seconds and GiB of each."""
    found = {}
    for encoder in encoders:
        clone.run("python", "-m", "stages.fetch_weights", "--encoder", encoder)
        run = ("python", "-m", "stages.embed_text", "--encoder", encoder)
        found[f"embed_text@{encoder}"] = clone.run(*run)
    return found


def train_and_evaluate(clone: Clone, classifiers: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Run the stages from `fuse` on; return seconds and GiB of each."""
    found = run_stages(clone, ["fuse"])
    for classifier in classifiers:
        run = ("python", "-m", "stages.train", "--classifier", classifier)
        found[f"train@{classifier}"] = clone.run(*run)
    found |= run_stages(clone, ("ensemble", "evaluate", "package", "report"))
    clone.run("dvc", "commit", "--force")
    clone.run("dvc", "status")
    found["dvc status"] = clone.run("dvc", "status")
    found["dvc repro, nothing to do"] = clone.run("dvc", "repro")
    return found


def write_catalogue(path: Path, count: int) -> None:
    """Write a table of products of the demo, without their images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = ("sku", "name", "description", "manufacturer", "label")
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for product in demo.read(DemoSettings(products=count), SEED):
            table.writerow([getattr(product, column) for column in columns])


def write_small_network(folder: Path) -> None:
    """Write a BERT of one layer and 32 numbers, drawn at random, with MiniLM's tokeniser."""
    from transformers import BertConfig, BertModel

    params = load_params(TOP / paths.PARAMS)
    obtain_weights("minilm", params.encoders["minilm"], folder, "auto", SEED)
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = BertConfig.from_pretrained(folder, num_hidden_layers=1, **sizes)
    BertModel(config).save_pretrained(folder)


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
