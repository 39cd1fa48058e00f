"""How fast a model answers, in Python and over HTTP, beside its networks and the embedding stages.

Run as `python -m benchmarks.serving --model models/best`. The server is a process of its own. All
ways are timed in turn, in one run: one product at a time, then many, then the start.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import inputs
from benchmarks.encoders import bare
from benchmarks.http_client import Client, body_of, send_from_all, server
from benchmarks.measure import in_turn, machine, ratio, table
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
    parser.add_argument("--model", type=Path, default=paths.BEST_MODEL)
    parser.add_argument("--text-model", type=Path, help="a model of text alone, to start")
    parser.add_argument("--rounds", type=int, default=60, help="of one product")
    parser.add_argument("--batch-rounds", type=int, default=3)
    parser.add_argument("--start-rounds", type=int, default=3)
    parser.add_argument("--products", type=int, default=128)
    asked = parser.parse_args()
    predictor = Predictor.load(asked.model)
    encoders = load_encoders(predictor.file, asked.model, "auto", "auto")
    products = products_of(asked.products)
    given = {TEXT: [replace(product, jpeg=None) for product in products]}
    if "image" in predictor.inputs:
        given[BOTH] = products
    print(f"{machine()}\n{predictor.file.name} in {asked.model}; {len(products)} products")
    print(f"medians of {asked.rounds}, {asked.batch_rounds} and {asked.start_rounds} rounds")
    with tempfile.TemporaryDirectory() as name:
        with server(asked.model) as port:
            for what, some in given.items():
                seen = {k: one for k, one in encoders.items() if what == BOTH or one.input == TEXT}
                report_one(what, single_ways(predictor, seen, some, port), asked.rounds)
                many = batch_ways(predictor, seen, some, port, Path(name))
                report_many(what, many, asked.batch_rounds)
        models = [asked.model, *filter(None, [asked.text_model])]
        starts = in_turn(start_ways(models, products[0], Path(name)), asked.start_rounds)
    rows = [(way, f"{1 / statistics.median(rates):.2f} s") for way, rates in starts.items()]
    print("\nto the first answer\n" + table(rows))


def report_one(what: str, ways: Ways, rounds: int) -> None:
    """Time ways to answer for one product, and print what each takes."""
    rates = in_turn(ways, rounds)
    rows = [(way, milliseconds(found)) for way, found in rates.items()]
    rows += [(f"{HTTP} / {other}", f"{ratio(rates, other, HTTP):.2f}") for other in [*ways][1:]]
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
) -> Ways:
    """Return ways to answer for one product, over HTTP first, and to run its networks one by one.

    Each goes on to the next product every time, so that in a round all have the same one.
    """
    client = Client(port)
    bodies = cycle([body_of([product]) for product in products])
    rows = cycle([{"name": product.name, "image": product.jpeg} for product in products])
    networks = cycle([networks_of(encoders, product) for product in products])

    def ask() -> float:
        client.send(next(bodies))
        return 1

    return {
        HTTP: ask,
        PYTHON: lambda: len(predictor.predict([next(rows)])),
        NETWORKS: lambda: max(network() for network in next(networks)),
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
            embed_text.embed_texts(cached, skus, texts, lambda count: None)
        else:
            rows = [
                {"sku": str(i), "jpeg": product.jpeg, "sha256": str(i), "status": "ok"}
                for i, product in enumerate(products)
            ]
            shard = pa.Table.from_pylist(rows, schema=IMAGES)
            images = CachedEncoder(found.encoder, "benchmark", store, open_jpeg)
            embed_images.embed_shard(images, shard, lambda count: None)


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


def milliseconds(rates: list[float]) -> str:
    """Return the median and the 95th percentile of what one answer takes."""
    times = 1000 / np.array(rates)
    return f"{np.median(times):.1f} ms (p95 {np.percentile(times, 95):.1f})"


if __name__ == "__main__":
    main()
