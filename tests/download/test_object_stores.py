"""Images in object stores, which hosts on loopback play, come as those of other hosts do.

tests/torture/test_s3_remote.py does the same with a server that speaks all of S3.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from helpers.http_host import settings
from helpers.object_store import Store, serving_google_store, serving_store
from helpers.repository import TOP

from stages.download.failures import Failure
from stages.download.many import fetch_many
from stages.download.object_stores import ObjectStores, is_object

BODY = b"an image " * 50


@pytest.fixture
def store(monkeypatch) -> Iterator[Store]:
    with serving_store(monkeypatch) as store:
        yield store


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


def test_a_large_object_is_refused(store):
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


def test_a_bucket_whose_region_is_not_said_delays_no_other(store, monkeypatch):
    store.objects |= {"slow/1.jpg": BODY, "shop/1.jpg": BODY}
    others_are_there = threading.Event()
    opened = ObjectStores._open

    def hangs(self, scheme: str, bucket: str) -> Any:
        if bucket == "slow":
            assert others_are_there.wait(10)
        return opened(self, scheme, bucket)

    monkeypatch.setattr(ObjectStores, "_open", hangs)
    found: list[str] = []

    def keep(url: str, _: bytes | Failure) -> None:
        found.append(url)
        others_are_there.set()

    urls = ["s3://slow/1.jpg", "s3://shop/1.jpg"]
    with ThreadPoolExecutor(2) as threads:
        fetch_many(urls, bytes, keep, mirror=None, settings=settings(), threads=threads)
    assert found == urls[::-1]


INTERRUPTED = """
from concurrent.futures import ThreadPoolExecutor
from helpers.http_host import settings
from stages.common.process import run_stage
from stages.download.many import fetch_many

def main():
    urls = [f"s3://shop/{number}.jpg" for number in range(8)]
    with ThreadPoolExecutor(2) as threads:
        fetch_many(
            urls, bytes, print, mirror=None, settings=settings(read_timeout_s=30), threads=threads
        )

run_stage(main)
"""


def test_control_c_does_not_wait_for_a_store_that_hangs(store):
    store.pause_s = 60.0
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TOP), str(TOP / "tests")])},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not store.asked and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - start < 5
    assert said == "interrupted: run `dvc repro` again to go on\n"


def test_a_mirror_stands_in_for_stores_too(store):
    store.objects["a/1.jpg"] = BODY
    mirror = f"http://127.0.0.1:{store.server_port}"
    assert fetch("s3://shop/a/1.jpg", mirror=mirror) == {"s3://shop/a/1.jpg": BODY}


@pytest.fixture
def google(monkeypatch, tmp_path) -> Iterator[Store]:
    with serving_google_store(monkeypatch, tmp_path) as store:
        yield store


@pytest.mark.parametrize("key", ["1.jpg", "a/b/1.jpg", "ä b/#1?x=%20&y.jpg", "a+b=c", "no ending"])
def test_a_key_of_google_is_taken_as_it_is_written(google, key):
    google.objects[f"shop/{key}"] = BODY
    assert fetch(f"gs://shop/{key}") == {f"gs://shop/{key}": BODY}


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ([404], "no such object"),
        ([403], "its store refuses access"),
        ([503] * 9, "its store failed"),
    ],
)
def test_what_fails_at_google_has_a_reason(google, statuses, reason):
    google.objects["shop/1.jpg"] = google.objects["shop/2.jpg"] = BODY
    google.statuses["shop/1.jpg"] = statuses
    found = fetch("gs://shop/1.jpg", "gs://shop/2.jpg", retries=0)
    assert found == {"gs://shop/1.jpg": Failure(reason), "gs://shop/2.jpg": BODY}


def test_an_object_comes_after_google_has_failed(google):
    google.objects["shop/1.jpg"] = BODY
    google.statuses["shop/1.jpg"] = [500, 503]
    assert fetch("gs://shop/1.jpg", retries=2) == {"gs://shop/1.jpg": BODY}


def test_objects_of_google_are_read_side_by_side(google):
    urls = [f"gs://shop/{number}.jpg" for number in range(30)]
    google.objects |= {url.removeprefix("gs://"): BODY for url in urls}
    google.pause_s = 0.02
    assert fetch(*urls, per_host=3) == dict.fromkeys(urls, BODY)
    assert 1 < google.most <= 3


def test_a_large_object_of_google_is_refused(google):
    google.objects["shop/1.jpg"] = bytes(10_000_000)
    found = fetch("gs://shop/1.jpg", max_bytes=1000)
    assert found == {"gs://shop/1.jpg": Failure("more than 1,000 bytes")}


def test_google_that_is_not_there_has_no_connection(google, monkeypatch):
    monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", "http://127.0.0.1:9")
    found = fetch("gs://shop/1.jpg", retries=0)
    assert found == {"gs://shop/1.jpg": Failure("no connection")}
