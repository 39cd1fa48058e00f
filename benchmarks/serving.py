"""How fast a model answers, in Python and over HTTP, beside its networks and the embedding stages.

Run as `python -m benchmarks.serving --model models/best`. The server is a process of its own. All
ways are timed in turn, in one run: one product at a time, then many at once, then the start. In a
turn a way goes through all products, as one client would.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import inputs
from benchmarks.encoders import bare, embed
from benchmarks.http_client import Client, body_of, send_from_all, server
from benchmarks.measure import in_turn, machine, model_folder, positive, ratio, table
from serving import Predictor
from serving.encoders import ProductEncoder, load_encoders
from serving.products import Product
from stages import embed_images, embed_text
from stages.common import paths
from stages.common.images import open_jpeg
from stages.common.kv_store import SqliteCache
from stages.common.tables import IMAGES
from stages.encoders.embedding_cache import CachedEncoder
from stages.encoders.table_encoder import UncachedEncoder
from stages.params import load_params

Ways = dict[str, Callable[[], float]]
SingleWays = dict[str, Callable[[int], Any]]  # of the product of a number
TEXT, BOTH = "text", "text and image"
HTTP, PYTHON, NETWORKS = "over HTTP", "in Python", "its networks alone"
STAGES, ONE_EACH, SOME_EACH = "embed stages", "16 clients, 1 a request", "16 clients, 8 a request"
CLIENTS, SHARE = 16, 8
FIRST_ANSWER = """
import sys
from serving import Predictor
print(Predictor.load(sys.argv[1]).predict([{"name": "HDMI cable", "image": sys.argv[2]}]))
"""


def main() -> None:
    """Time every way in turn and print medians, 95th percentiles and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=model_folder, default=str(paths.BEST_MODEL))
    parser.add_argument("--text-model", type=model_folder, help="a model of text alone, to start")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--products", type=positive, default=64)
    asked = parser.parse_args()
    predictor = Predictor.load(asked.model)
    encoders = load_encoders(predictor.file, asked.model, "auto", "auto")
    products = products_of(asked.products)
    given = {TEXT: [replace(product, jpeg=None) for product in products]}
    if "image" in predictor.inputs:
        given[BOTH] = products
    print(f"{machine()}\n{predictor.file.name} in {asked.model}; {len(products)} products")
    print(f"medians of {asked.rounds} rounds")
    with tempfile.TemporaryDirectory() as name:
        with server(asked.model) as port:
            for what, some in given.items():
                seen = {k: one for k, one in encoders.items() if what == BOTH or one.input == TEXT}
                ways = single_ways(predictor, seen, some, port)
                report_one(what, ways, len(some), asked.rounds)
                many = batch_ways(predictor, seen, some, port, Path(name))
                report_many(what, many, asked.rounds)
        models = [asked.model, *filter(None, [asked.text_model])]
        starts = in_turn(start_ways(models, products[0], Path(name)), asked.rounds)
    rows = [(way, f"{1 / statistics.median(rates):.2f} s") for way, rates in starts.items()]
    print("\nto the first answer\n" + table(rows))


def report_one(what: str, ways: SingleWays, count: int, rounds: int) -> None:
    """Time ways to answer for each of `count` products, and print what each way takes."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            for i in range(count):
                start = time.perf_counter()
                way(i)
                if number:
                    times[name].append(1000 * (time.perf_counter() - start))
    median = {name: statistics.median(found) for name, found in times.items()}
    p95 = {name: np.percentile(found, 95) for name, found in times.items()}
    rows = [(name, f"{median[name]:.1f} ms (p95 {p95[name]:.1f})") for name in ways]
    rows += [
        (f"{HTTP} / {name}", f"{median[HTTP] / median[name]:.2f}") for name in (PYTHON, NETWORKS)
    ]
    print(f"\none product, {what}\n{table(rows)}")


def report_many(what: str, ways: Ways, rounds: int) -> None:
    """Time ways to answer for many products, and print their rates beside that in Python."""
    rates = in_turn(ways, rounds)
    rows = [(way, f"{statistics.median(found):.1f} / s") for way, found in rates.items()]
    rows += [(f"{PYTHON} / {STAGES}", f"{ratio(rates, PYTHON, STAGES):.2f}")]
    rows += [(f"{way} / {PYTHON}", f"{ratio(rates, way, PYTHON):.2f}") for way in [*ways][2:]]
    print(f"\nmany products, {what}\n{table(rows)}")


def products_of(count: int) -> list[Product]:
    """Return products with texts and images, as the predictor takes them."""
    shard, _ = inputs.images(count)
    texts, _ = inputs.texts(count, load_params())
    jpegs = shard["jpeg"].to_pylist()
    return [
        Product(sku=str(i), name=text, jpeg=jpegs[i % len(jpegs)]) for i, text in enumerate(texts)
    ]


def single_ways(
    predictor: Predictor,
    encoders: Mapping[str, ProductEncoder],
    products: Sequence[Product],
    port: int,
) -> SingleWays:
    """Return ways to answer for a product, and to run its networks one after the other."""
    client = Client(port)
    bodies = [body_of([product]) for product in products]
    rows = [{"name": product.name, "image": product.jpeg} for product in products]
    networks = [networks_of(encoders, product) for product in products]
    return {
        HTTP: lambda i: client.send(bodies[i]),
        PYTHON: lambda i: predictor.predict([rows[i]]),
        NETWORKS: lambda i: [network() for network in networks[i]],
    }


def networks_of(
    encoders: Mapping[str, ProductEncoder], product: Product
) -> list[Callable[[], float]]:
    """Return what runs each network on the product, prepared for it before."""
    return [
        bare(found.encoder, inputs_of(found, [product]))
        for found in encoders.values()
        if hasattr(found.encoder, "network")
    ]


def batch_ways(
    predictor: Predictor,
    encoders: Mapping[str, ProductEncoder],
    products: Sequence[Product],
    port: int,
    folder: Path,
) -> Ways:
    """Return ways to go through many products: in Python, as the stages embed, and over HTTP."""
    clients = [Client(port) for _ in range(CLIENTS)]

    def stages() -> float:
        for found in encoders.values():
            embed_as_stage(found, products, folder)
        return len(products)

    def ask(size: int) -> Callable[[], float]:
        starts = range(0, len(products), size)
        bodies = [body_of(products[start : start + size]) for start in starts]

        def run() -> float:
            send_from_all(clients, bodies)
            return len(products)

        return run

    return {
        PYTHON: lambda: len(predictor.predict_products(products)),
        STAGES: stages,
        ONE_EACH: ask(1),
        SOME_EACH: ask(SHARE),
    }


def embed_as_stage(found: ProductEncoder, products: Sequence[Product], folder: Path) -> None:
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
            embed(embed_text.part_of(skus, texts), cached)
        else:
            rows = [
                {"sku": str(i), "jpeg": product.jpeg, "sha256": str(i), "status": "ok"}
                for i, product in enumerate(products)
            ]
            shard = pa.Table.from_pylist(rows, schema=IMAGES)
            images = CachedEncoder(found.encoder, "benchmark", store, open_jpeg)
            embed(embed_images.part_of(shard), images)


def start_ways(models: Sequence[Path], product: Product, folder: Path) -> Ways:
    """Return ways to get a first answer, each from the start of a process."""
    image = folder / "image.jpg"
    image.write_bytes(product.jpeg or b"")

    def in_python(model: Path) -> float:
        command = [sys.executable, "-c", FIRST_ANSWER, str(model), str(image)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return 1

    def over_http(model: Path) -> float:
        with server(model) as port:
            Client(port).send(body_of([product]))
            return 1

    return {
        f"{model}, {way}": partial(start, model)
        for model in models
        for way, start in ((PYTHON, in_python), (HTTP, over_http))
    }


def inputs_of(found: ProductEncoder, products: Sequence[Product]) -> list[Any]:
    """Return what an encoder takes of products."""
    given = [found.input_of(product) for product in products]
    return list(map(open_jpeg, given)) if found.input == "image" else given


if __name__ == "__main__":
    main()
