"""Object stores on loopback with as much of S3's and Google's interfaces as reading takes."""

import json
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


class Store(ThreadingHTTPServer):
    """Answers requests for `objects`, by bucket and key; `statuses` are given first.

    `asked` counts for each object how often it was asked for.
    """

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.objects: dict[str, bytes] = {}
        self.statuses: dict[str, list[int]] = defaultdict(list)
        self.asked: Counter[str] = Counter()
        self.now, self.most, self.lock = 0, 0, threading.Lock()
        self.pause_s = 0.0
        super().__init__(("127.0.0.1", 0), handler)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body would wait for what says that its head has come
    server: Store

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, key: str, asks: bool, has_body: bool = True, found: int = 200) -> None:
        """Send an object, whose status is `found`; `asks` says whether this is counted."""
        store = self.server
        with store.lock:
            store.now += 1
            store.most = max(store.most, store.now)
            store.asked[key] += asks
            status = found if key in store.objects else 404
            status = store.statuses[key].pop(0) if store.statuses[key] else status
        time.sleep(store.pause_s)
        body = store.objects[key] if status == found else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        with store.lock:
            store.now -= 1
        self.end_headers()
        if has_body:
            with suppress(ConnectionError):  # who asked has read enough
                self.wfile.write(body)


class S3Handler(Handler):
    def do_HEAD(self) -> None:
        self.answer(self.key(), asks=True, has_body=False)

    def do_GET(self) -> None:
        self.answer(self.key(), asks=False, found=206 if "Range" in self.headers else 200)

    def key(self) -> str:
        return unquote(urlsplit(self.path).path)[1:]


class GoogleHandler(Handler):
    def do_GET(self) -> None:
        address = urlsplit(self.path)
        named = re.fullmatch("/storage/v1/b/([^/]+)/o/([^/]+)", address.path)
        assert named is not None and "alt=media" in address.query
        self.answer("/".join(map(unquote, named.groups())), asks=True)


@contextmanager
def serving_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Give a store like S3 that runs, whose endpoint and keys are in the environment."""
    with _serving(S3Handler) as server:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        yield server


@contextmanager
def serving_google_store(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Store]:
    """Give a store like Google's that runs; its endpoint and a key are in the environment.

    The key, of a service account that does not exist, is written to the folder.
    """
    drawn = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "private_key_id": "1",
        "private_key": drawn.decode(),
        "client_email": "shop@example.com",
        "token_uri": "http://127.0.0.1:9/",
    }
    (folder / "key.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "key.json"))
    with _serving(GoogleHandler) as server:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", endpoint)
        yield server


@contextmanager
def _serving(handler: type[Handler]) -> Iterator[Store]:
    with Store(handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
