"""How fast a model answers, beside its networks alone, the embedding stages and a fresh process.

Run as `python -m benchmarks.serving --model models/best`. All ways are timed in turn, in one run.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import inputs
from benchmarks.encoders import bare
from benchmarks.measure import Rates, in_turn, machine, ratio, table
from serving import Predictor
from serving.encoders import ProductEncoder, load_encoders
from serving.products import Product
from stages import embed_images, embed_text
from stages.common import paths
from stages.common.kv_store import SqliteCache
from stages.common.tables import IMAGES
from stages.encoders.embedding_cache import CachedEncoder, UncachedEncoder
from stages.encoders.images import open_jpeg
from stages.params import load_params

Ways = dict[str, Callable[[], float]]
TEXT, BOTH, NETWORKS = "one product: text", "one product: text and image", "its networks alone"
BATCH, STAGES = "batch", "embed stages"
FIRST_ANSWER = """
import sys
from serving import Predictor
print(Predictor.load(sys.argv[1]).predict([{"name": "HDMI cable", "image": sys.argv[2]}]))
"""


def main() -> None:
    """Time every way in turn and print medians, 95th percentiles and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=paths.BEST_MODEL)
    parser.add_argument("--text-model", type=Path, help="a model of text alone, to start")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch-rounds", type=int, default=3)
    parser.add_argument("--start-rounds", type=int, default=3)
    parser.add_argument("--products", type=int, default=128)
    asked = parser.parse_args()
    predictor = Predictor.load(asked.model)
    products = products_of(asked.products)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoders = load_encoders(predictor.file, asked.model, "auto", "auto")
        single = in_turn(single_ways(predictor, encoders, products[0]), asked.rounds)
        batch = in_turn(batch_ways(predictor, encoders, products, folder), asked.batch_rounds)
        models = [asked.model, *filter(None, [asked.text_model])]
        starts = in_turn(start_ways(models, products[0], folder), asked.start_rounds)
    print(f"{machine()}\n{predictor.file.name} in {asked.model}; {len(products)} products")
    print(f"medians of {asked.rounds}, {asked.batch_rounds} and {asked.start_rounds} rounds\n")
    rows = [(way, milliseconds(rates)) for way, rates in single.items()]
    rows += [(way, f"{statistics.median(rates):.1f}/s") for way, rates in batch.items()]
    rows += [(way, f"{1 / statistics.median(rates):.2f} s") for way, rates in starts.items()]
    print(table(rows) + "\n\n" + table(ratios(single, batch)))


def products_of(count: int) -> list[Product]:
    """Return products with texts and images, as the predictor takes them."""
    shard, _ = inputs.images(count)
    texts, _ = inputs.texts(count, load_params())
    jpegs = shard["jpeg"].to_pylist()
    return [
        Product(sku=str(i), name=text, jpeg=jpegs[i % len(jpegs)]) for i, text in enumerate(texts)
    ]


def single_ways(
    predictor: Predictor, encoders: Mapping[str, ProductEncoder], product: Product
) -> Ways:
    """Return ways to answer for one product, and its networks alone, one after the other."""
    row = {"name": product.name}
    ways: Ways = {TEXT: lambda: len(predictor.predict([row]))}
    if "image" in predictor.inputs:
        ways[BOTH] = lambda: len(predictor.predict([row | {"image": product.jpeg}]))
    networks = [
        bare(found.encoder, [inputs_of(found, [product])[0]])
        for found in encoders.values()
        if hasattr(found.encoder, "network")
    ]
    ways[NETWORKS] = lambda: max(network() for network in networks)
    return ways


def batch_ways(
    predictor: Predictor,
    encoders: Mapping[str, ProductEncoder],
    products: list[Product],
    folder: Path,
) -> Ways:
    """Return ways to go through many products: predicting, and embedding as the stages do."""

    def stages() -> float:
        for found in encoders.values():
            embed_as_stage(found, products, folder)
        return len(products)

    return {BATCH: lambda: len(predictor.predict_products(products)), STAGES: stages}


def embed_as_stage(found: ProductEncoder, products: list[Product], folder: Path) -> None:
    """Embed products as the stage of an encoder does, with decoding, into an empty cache."""
    skus = pa.chunked_array([[product.sku for product in products]])
    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        SqliteCache(Path(place) / "rows.sqlite", 10**9) as store,
    ):
        if found.input == "text":
            texts = [found.input_of(product) for product in products]
            cached = (
                UncachedEncoder(found.encoder)
                if found.is_sparse
                else CachedEncoder(found.encoder, "benchmark", store)
            )
            embed_text.embed_texts(cached, skus, texts, lambda count: None)
        else:
            rows = [
                {"sku": str(i), "jpeg": product.jpeg, "sha256": str(i), "status": "ok"}
                for i, product in enumerate(products)
            ]
            shard = pa.Table.from_pylist(rows, schema=IMAGES)
            images = CachedEncoder(found.encoder, "benchmark", store, open_jpeg)
            embed_images.embed_shard(images, shard, lambda count: None)


def start_ways(models: list[Path], product: Product, folder: Path) -> Ways:
    """Return ways to get a first answer, each from the start of a process."""
    image = folder / "image.jpg"
    image.write_bytes(product.jpeg or b"")

    def start(model: Path) -> float:
        command = [sys.executable, "-c", FIRST_ANSWER, str(model), str(image)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return 1

    return {f"first answer of {model}": partial(start, model) for model in models}


def inputs_of(found: ProductEncoder, products: list[Product]) -> list[Any]:
    """Return what an encoder takes of products."""
    given = [found.input_of(product) for product in products]
    return list(map(open_jpeg, given)) if found.input == "image" else given


def milliseconds(rates: list[float]) -> str:
    """Return the median and the 95th percentile of what one answer takes."""
    times = 1000 / np.array(rates)
    return f"{np.median(times):.1f} ms (p95 {np.percentile(times, 95):.1f})"


def ratios(single: Rates, batch: Rates) -> list[tuple[str, str]]:
    """Return how the ways compare."""
    found = {f"{BATCH} / {STAGES}": ratio(batch, BATCH, STAGES)}
    if BOTH in single:
        found[f"time of {BOTH} / {NETWORKS}"] = ratio(single, NETWORKS, BOTH)
    return [(name, f"{value:.2f}") for name, value in found.items()]


if __name__ == "__main__":
    main()
