"""A server on loopback in a thread, clients of it, and a predictor that waits."""

import base64
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from serving.server.__main__ import listening_socket, server
from serving.server.settings import ServerSettings

JSON = {"Content-Type": "application/json"}


@contextmanager
def running(predictor, **settings) -> Iterator[int]:
    """Run a server until the block ends; give its port."""
    with listening_socket("127.0.0.1", 0) as listener:
        process = server(predictor, ServerSettings(**settings), listener)
        thread = threading.Thread(target=process.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not process.started:
                thread.join(0.01)
                assert thread.is_alive()
            yield listener.getsockname()[1]
        finally:
            process.should_exit = True
            thread.join()


def in_json(row: dict) -> dict:
    """Return a product as a request has it: its image in base64, and only what there is."""
    image = row.get("image")
    text = base64.b64encode(image).decode() if isinstance(image, bytes) else image
    return {name: value for name, value in {**row, "image": text}.items() if value is not None}


def ask(port: int, products: list[dict], **options) -> tuple[int, dict]:
    """Return the status and the JSON of an answer to a request to predict."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        body = json.dumps({"products": products, **options})
        connection.request("POST", "/v1/predict", body, JSON)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def send(port: int, *parts: bytes) -> bytes:
    """Send bytes and return all that comes back until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while block := connection.recv(65536):
            answer += block
        return answer


class HeldPredictor:
    """A predictor that answers when `gate` is open, and counts what it is asked at once."""

    def __init__(self, predictor) -> None:
        self._predictor = predictor
        self.gate = threading.Event()
        self.batches: list[int] = []

    def __getattr__(self, name):
        return getattr(self._predictor, name)

    def predict_products(self, products, **options):
        self.batches.append(len(products))
        assert self.gate.wait(60)
        return self._predictor.predict_products(products, **options)
