"""Images in an object store, which a host on loopback plays, come as those of other hosts do.

tests/torture/test_s3_remote.py does the same with a server that speaks all of S3.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from helpers.http_host import settings

from stages.download.failures import Failure
from stages.download.many import fetch_many
from stages.download.object_stores import is_object

BODY = b"an image " * 50


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


@pytest.fixture
def store(monkeypatch) -> Iterator[Store]:
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


def fetch(*urls: str, convert=bytes, mirror: str | None = None, **changes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with ThreadPoolExecutor(2) as threads:
        fetch_many(
            urls,
            convert,
            found.__setitem__,
            mirror=mirror,
            settings=settings(**changes),
            threads=threads,
        )
    return found


@pytest.mark.parametrize("key", ["1.jpg", "a/b/1.jpg", "ä b/#1?x=%20&y.jpg", "a+b=c", "no ending"])
def test_a_key_is_taken_as_it_is_written(store, key):
    store.objects[f"shop/{key}"] = BODY
    assert fetch(f"s3://shop/{key}") == {f"s3://shop/{key}": BODY}
    assert is_object(f"S3://shop/{key}") and fetch(f"S3://shop/{key}")


@pytest.mark.parametrize(
    ("statuses", "reason", "times"),
    [
        ([404], "no such object", 1),
        ([403], "its store refuses access", 1),
        ([500] * 9, "its store failed", 3),
        ([503] * 9, "its store failed", 3),
    ],
)
def test_what_fails_has_a_reason_and_is_asked_for_again_where_that_may_help(
    store, statuses, reason, times
):
    store.objects["shop/1.jpg"] = store.objects["shop/2.jpg"] = BODY
    store.statuses["shop/1.jpg"] = statuses
    found = fetch("s3://shop/1.jpg", "s3://shop/2.jpg", retries=2)
    assert found == {"s3://shop/1.jpg": Failure(reason), "s3://shop/2.jpg": BODY}
    assert store.asked == {"shop/1.jpg": times, "shop/2.jpg": 1}


def test_an_object_comes_after_its_store_has_failed(store):
    store.objects["shop/1.jpg"] = BODY
    store.statuses["shop/1.jpg"] = [500, 503]
    assert fetch("s3://shop/1.jpg", retries=2) == {"s3://shop/1.jpg": BODY}


def test_a_large_object_is_refused_before_it_is_read(store):
    store.objects["shop/1.jpg"] = bytes(1001)
    found = fetch("s3://shop/1.jpg", max_bytes=1000)
    assert found == {"s3://shop/1.jpg": Failure("more than 1,000 bytes")}


def test_what_is_no_image_is_asked_for_again(store):
    def no_image(body: bytes) -> bytes:
        raise ValueError("no image")

    store.objects["shop/1.jpg"] = BODY
    found = fetch("s3://shop/1.jpg", convert=no_image, retries=2)
    assert found == {"s3://shop/1.jpg": Failure("no image")}
    assert store.asked["shop/1.jpg"] == 3


@pytest.mark.parametrize(
    "url", ["s3://", "s3://shop", "s3://shop/", "s3://shop//1.jpg", "s3://key:secret@shop/1.jpg"]
)
def test_what_names_no_object_is_no_valid_url_and_asks_nobody(store, url):
    assert fetch(url) == {url: Failure("no valid URL")}
    assert not store.asked


def test_a_store_is_asked_for_no_more_than_a_host(store):
    urls = [f"s3://shop/{number}.jpg" for number in range(30)]
    store.objects |= {url.removeprefix("s3://"): BODY for url in urls}
    store.pause_s = 0.02
    assert fetch(*urls, per_host=3) == dict.fromkeys(urls, BODY)
    assert 1 < store.most <= 3


def test_a_store_that_is_not_there_does_not_delay_the_others(store, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    found = fetch("s3://shop/1.jpg", retries=1)
    assert found == {"s3://shop/1.jpg": Failure("no connection")}


def test_a_mirror_stands_in_for_stores_too(store):
    store.objects["a/1.jpg"] = BODY
    mirror = f"http://127.0.0.1:{store.server_port}"
    assert fetch("s3://shop/a/1.jpg", mirror=mirror) == {"s3://shop/a/1.jpg": BODY}
