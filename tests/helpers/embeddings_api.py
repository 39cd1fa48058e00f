"""A server on loopback that plays OpenAI's embeddings API, faults included."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SIZE = 5  # of a vector, unless another is asked for

Answer = tuple[int, dict[str, str], dict[str, Any] | bytes]  # status, headers and body
Fault = Callable[[dict[str, Any]], Answer]


def vector_of(text: str, dimensions: int) -> list[float]:
    """Return a text's vector: numbers that tell its length and its letters."""
    return [float(len(text)), *(float(text.count(chr(97 + i))) for i in range(dimensions - 1))]


class EmbeddingsApi:
    """What was asked for, and the faults that the next requests meet, in their order."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.faults: list[Fault] = []
        self.url = ""

    @property
    def keys(self) -> list[str | None]:
        """The key that each request came with."""
        return [headers.get("authorization") for headers in self.headers]

    @property
    def texts(self) -> list[str]:
        """All texts that were embedded, which are those that cost."""
        return [text for request in self.requests for text in request["input"]]


def good(asked: dict[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Answer a request, the vectors in another order than the texts."""
    data = [
        {
            "object": "embedding",
            "index": i,
            "embedding": vector_of(text, asked.get("dimensions", SIZE)),
        }
        for i, text in enumerate(asked["input"])
    ]
    tokens = sum(len(text.split()) for text in asked["input"])
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return 200, {}, {"object": "list", "data": data[::-1], "model": asked["model"], "usage": usage}


@contextmanager
def embeddings_api() -> Iterator[EmbeddingsApi]:
    """Serve the API while the block runs."""
    api = EmbeddingsApi()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.headers.append({name.lower(): value for name, value in self.headers.items()})
            if api.faults:
                status, headers, body = api.faults.pop(0)(asked)
            else:
                status, headers, body = good(asked)
            if status == 200:
                api.requests.append(asked | {"path": self.path})
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_port}/v1"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield api
        finally:
            server.shutdown()
