"""An object store on loopback with as much of S3's interface as reading takes."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest


class Store(ThreadingHTTPServer):
    """Answers HEAD and GET of `objects`, by bucket and key; `statuses` are given first."""

    daemon_threads = True

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.statuses: dict[str, list[int]] = defaultdict(list)
        self.asked: Counter[str] = Counter()
        self.now, self.most, self.lock = 0, 0, threading.Lock()
        self.pause_s = 0.0
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Store

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(has_body=False)

    def do_GET(self) -> None:
        self.answer(has_body=True)

    def answer(self, has_body: bool) -> None:
        key, store = unquote(urlsplit(self.path).path)[1:], self.server
        with store.lock:
            store.now += 1
            store.most = max(store.most, store.now)
            store.asked[key] += not has_body
            status = 200 if key in store.objects else 404
            status = store.statuses[key].pop(0) if store.statuses[key] else status
        time.sleep(store.pause_s)
        body = store.objects[key] if status == 200 else b""
        self.send_response(206 if "Range" in self.headers and status == 200 else status)
        self.send_header("Content-Length", str(len(body)))
        with store.lock:
            store.now -= 1
        self.end_headers()
        if has_body:
            self.wfile.write(body)


@contextmanager
def serving_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Give a store that runs, whose endpoint and keys are in the environment."""
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
