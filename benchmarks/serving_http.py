"""A model over HTTP beside the same model in Python: latency, throughput, and the start.

Run as `python -m benchmarks.serving_http`. The server is a process of its own; its clients and the
predictor that it is compared with share another one, and only one of the two works at a time.
"""

import argparse
import base64
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.measure import machine, table
from serving import Predictor
from stages.params import load_params

CLIENTS = 16
SHARE = 8  # products in a request
ALONE = f"{CLIENTS} clients, a product in a request"
TOGETHER = f"{CLIENTS} clients, {SHARE} products in a request"
DIRECT = "all products in Python"
Product = dict[str, Any]


def main() -> None:
    """Time all of it in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/best"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--products", type=int, default=128)
    asked = parser.parse_args()
    products, what = sample(asked.products)
    predictor = Predictor.load(asked.model)
    seen = ["text", "both"] if "image" in predictor.inputs else ["text"]
    starts: list[float] = []
    times: dict[str, list[float]] = {}
    for _ in range(asked.rounds):
        with server(asked.model) as (port, began):
            post(port, [products[0]])
            starts.append(time.perf_counter() - began)
            for name in seen:
                some = [without_image(p) for p in products] if name == "text" else products
                for way, found in compare(port, predictor, some).items():
                    times.setdefault(f"{name}: {way}", []).extend(found)
    print(f"{machine()}\n{predictor.file.name}; {len(products)} of {what}; {asked.rounds} rounds\n")
    print(table([("start to the first answer", f"{statistics.median(starts):.1f} s")]))
    for name in seen:
        print(f"\n{name}\n{table(rows({k: v for k, v in times.items() if k.startswith(name)}))}")


def compare(port: int, predictor: Predictor, products: Sequence[Product]) -> dict[str, list[float]]:
    """Return the seconds of each product over HTTP and in Python, and of all in one go."""
    connections = [http.client.HTTPConnection("127.0.0.1", port) for _ in range(CLIENTS)]
    found: dict[str, list[float]] = {"HTTP": [], "Python": []}
    for product in products:
        found["HTTP"].append(seconds(partial(send, connections[0], body_of([product]))))
        found["Python"].append(seconds(partial(predictor.predict, [product])))
    count = len(products)
    for name, size in ((ALONE, 1), (TOGETHER, SHARE)):
        bodies = [body_of(products[start : start + size]) for start in range(0, count, size)]
        shares = [bodies[start::CLIENTS] for start in range(CLIENTS)]
        found[name] = [seconds(partial(send_from_all, connections, shares)) / count]
    found[DIRECT] = [seconds(partial(predictor.predict, products)) / count]
    for connection in connections:
        connection.close()
    return found


def rows(times: dict[str, list[float]]) -> list[tuple[str, str]]:
    """Return the medians as a table, and the ratios of HTTP to Python."""
    by_way = {name.partition(": ")[2]: found for name, found in times.items()}
    median = {name: statistics.median(found) for name, found in by_way.items()}
    p95 = statistics.quantiles(by_way["HTTP"], n=20)[-1]
    found = [
        ("one product over HTTP, p50", f"{median['HTTP'] * 1000:.1f} ms"),
        ("one product over HTTP, p95", f"{p95 * 1000:.1f} ms"),
        ("one product in Python, p50", f"{median['Python'] * 1000:.1f} ms"),
        ("HTTP / Python", f"{median['HTTP'] / median['Python']:.2f}"),
        ("p95 / p50", f"{p95 / median['HTTP']:.2f}"),
        (DIRECT, f"{1 / median[DIRECT]:.1f} / s"),
    ]
    for name in (ALONE, TOGETHER):
        found += [
            (name, f"{1 / median[name]:.1f} / s"),
            ("  times Python's rate", f"{median[DIRECT] / median[name]:.2f}"),
        ]
    return found


@contextmanager
def server(model: Path) -> Iterator[tuple[int, float]]:
    """Start a server; give its port and when it was started."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "serving.server", "--port", "0", "--model", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        listens = re.search(r":(\d+)$", process.stdout.readline())
        if listens is None:
            raise SystemExit("the server does not start")
        yield int(listens[1]), began
        process.send_signal(signal.SIGTERM)


def sample(count: int) -> tuple[list[Product], str]:
    """Return products with text and image, and what they are."""
    texts, what = inputs.texts(count, load_params())
    shard, _ = inputs.images(count)
    images = cycle(shard["jpeg"].to_pylist())
    return [
        {"name": text, "image": image} for text, image in zip(texts, images, strict=False)
    ], what


def without_image(product: Product) -> Product:
    """Return a product's text alone."""
    return {**product, "image": None}


def body_of(products: Sequence[Product]) -> bytes:
    """Return the body of a request."""
    return json.dumps(
        {
            "products": [
                {**product, "image": base64.b64encode(product["image"] or b"").decode() or None}
                for product in products
            ]
        }
    ).encode()


def post(port: int, products: Sequence[Product]) -> None:
    """Ask once on a connection of its own."""
    send(http.client.HTTPConnection("127.0.0.1", port), body_of(products))


def send(connection: http.client.HTTPConnection, body: bytes) -> None:
    """Send a request and read its answer, which must be a prediction."""
    connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise SystemExit(f"HTTP {answer.status}: {content.decode()}")


def send_from_all(
    connections: Sequence[http.client.HTTPConnection], shares: Sequence[Sequence[bytes]]
) -> None:
    """Send each connection's requests, all connections at once."""
    with ThreadPoolExecutor(len(connections)) as clients:
        list(clients.map(send_all, connections, shares))


def send_all(connection: http.client.HTTPConnection, bodies: Sequence[bytes]) -> None:
    """Send requests one after the other."""
    for body in bodies:
        send(connection, body)


def seconds(work: Callable[[], Any]) -> float:
    """Return how long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
