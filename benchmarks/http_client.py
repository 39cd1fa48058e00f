"""A server of a model in a process of its own, and clients that ask it: for the benchmarks."""

import base64
import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from serving.products import Product


@contextmanager
def server(model: Path) -> Iterator[int]:
    """Start a server of a model; give its port as soon as it listens."""
    command = [sys.executable, "-m", "serving.server", "--port", "0", "--model", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        listens = re.search(r":(\d+)$", process.stdout.readline())
        if listens is None:
            raise SystemExit("the server does not start")
        try:
            yield int(listens[1])
        finally:
            process.kill()


class Client:
    """A client that keeps its connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)

    def send(self, body: bytes) -> None:
        """Send a request and read its answer, which must be predictions."""
        try:
            status, content = self._exchange(body)
        except ConnectionError:  # the server closes a connection that was idle for long
            self._connection.close()
            status, content = self._exchange(body)
        if status != 200:
            raise SystemExit(f"HTTP {status}: {content.decode()}")

    def _exchange(self, body: bytes) -> tuple[int, bytes]:
        """Send a request; return the status and the content of its answer."""
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/v1/predict", body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def send_all(self, bodies: Sequence[bytes]) -> None:
        """Send requests one after the other."""
        for body in bodies:
            self.send(body)


def send_from_all(clients: Sequence[Client], bodies: Sequence[bytes]) -> None:
    """Send requests by several clients at once, each its share."""
    shares = [bodies[first :: len(clients)] for first in range(len(clients))]
    with ThreadPoolExecutor(len(clients)) as threads:
        list(threads.map(Client.send_all, clients, shares))


def body_of(products: Sequence[Product]) -> bytes:
    """Return the body of a request for a prediction of each product."""
    return json.dumps(
        {
            "products": [
                {
                    "name": product.name,
                    "image": base64.b64encode(product.jpeg).decode() if product.jpeg else None,
                }
                for product in products
            ]
        }
    ).encode()
