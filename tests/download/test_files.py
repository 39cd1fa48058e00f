"""One file, fetched whole and kept up to date."""

import gzip
import json
import os
import shutil
import time
from multiprocessing import get_context

import pytest
from helpers.http_host import BODY, cut_short, endless, hang_up, settings, trickle

from stages.common.errors import InputError
from stages.download import files, size_limit
from stages.download.files import fetch_file


def cached(folder):
    """Return the files in `folder` that are no whole copy and no metadata of one."""
    names = [path.name for path in folder.iterdir()]
    return [name for name in names if not name.endswith((".json", ".zip"))]


def get(url, tmp_path, mirror=None, max_bytes=None, **changes):
    return fetch_file(
        url,
        mirror=mirror,
        settings=settings(**changes),
        max_bytes=max_bytes,
        cache=tmp_path / "files",
    )


def test_a_file_is_fetched_whole_and_asked_for_again_only_if_changed(host, tmp_path):
    body = bytes(range(256)) * 4000  # larger than `max_bytes`, which is for images
    host.answers = {"/f.json": [(200, body, {"ETag": '"1"'}), 304, (200, b"new", {"ETag": '"2"'})]}
    first = get(f"{host.url}/f.json", tmp_path)
    assert first.read_bytes() == body
    assert first.suffix == ".json"
    assert get(f"{host.url}/f.json", tmp_path) == first
    assert first.read_bytes() == body
    assert get(f"{host.url}/f.json", tmp_path).read_bytes() == b"new"
    assert [headers.get("If-None-Match") for _, headers in host.seen] == [None, '"1"', '"1"']


def test_a_file_with_a_date_is_asked_for_if_changed_since(host, tmp_path):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    host.answers = {"/f": [(200, BODY, {"Last-Modified": date}), 304]}
    get(f"{host.url}/f", tmp_path)
    assert get(f"{host.url}/f", tmp_path).read_bytes() == BODY
    assert [headers.get("If-Modified-Since") for _, headers in host.seen] == [None, date]


def test_a_cached_file_that_was_changed_is_fetched_anew(host, tmp_path):
    host.answers = {"/f": [(200, BODY, {"ETag": '"1"'})]}
    get(f"{host.url}/f", tmp_path).write_bytes(b"half")
    assert get(f"{host.url}/f", tmp_path).read_bytes() == BODY
    assert "If-None-Match" not in host.seen[1][1]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("v=1", "v=2"),
        ("st=1", "st=2"),
        ("sv=1&sig=a&versionId=1", "sv=1&sig=b&versionId=2"),
        ("policy=small&Signature=a&Key-Pair-Id=K", "policy=large&Signature=b&Key-Pair-Id=K"),
    ],
)
def test_files_of_two_urls_do_not_mix(host, tmp_path, one, two):
    host.answers = {f"/f?{one}": [b"one"], f"/f?{two}": [b"two"]}
    paths = [get(f"{host.url}/f?{query}", tmp_path) for query in (one, two)]
    assert [path.read_bytes() for path in paths] == [b"one", b"two"]


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F2026110{0}%2Fs3&X-Amz-Date={0}"
        "&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Security-Token={0}&X-Amz-Signature={0}",
        "response-content-type=a&AWSAccessKeyId={0}&Signature={0}%3D&Expires={0}",
        "Expires={0}&Signature={0}&Key-Pair-Id=K",
        "Policy={0}&Signature={0}&Key-Pair-Id=K",
        "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential={0}&X-Goog-Date={0}"
        "&X-Goog-Expires=9&X-Goog-SignedHeaders=host&X-Goog-Signature={0}",
        "sp=r&st={0}&se={0}&skt={0}&ske={0}&spr=https&sv=2024-11-04&sr=b&sig={0}%2B",
    ],
)
def test_a_file_whose_link_was_signed_anew_is_asked_for_only_if_changed(host, tmp_path, query):
    monday, tuesday = (f"/f.zip?{query.format(day)}" for day in (1, 2))
    host.answers = {monday: [(200, BODY, {"ETag": '"1"'})], tuesday: [304]}
    path = get(f"{host.url}{monday}", tmp_path)
    assert get(f"{host.url}{tuesday}", tmp_path) == path
    assert path.read_bytes() == BODY
    assert host.seen[1][1]["If-None-Match"] == '"1"'


def test_a_part_of_another_url_s_file_that_a_killed_run_left_is_removed(
    host, tmp_path, monkeypatch
):
    """As where a link has another key each day, so that no two runs ask for one URL."""
    host.answers = {"/f.zip?key=monday": [BODY], "/f.zip?key=tuesday": [BODY]}
    with monkeypatch.context() as killed:
        killed.setattr(files.SizeLimit, "check", lambda *_: os._exit(9))
        address = f"{host.url}/f.zip?key=monday"
        run = get_context("fork").Process(target=get, args=(address, tmp_path))
        run.start()
        run.join()
    assert run.exitcode == 9 and cached(tmp_path / "files")
    path = get(f"{host.url}/f.zip?key=tuesday", tmp_path)
    assert path.read_bytes() == BODY and cached(tmp_path / "files") == []


@pytest.mark.parametrize("fault", [503, 429, cut_short, hang_up])
def test_a_file_is_tried_again(host, tmp_path, fault):
    host.answers = {"/f.zip": [fault, BODY]}
    path = get(f"{host.url}/f.zip", tmp_path)
    assert path.read_bytes() == BODY
    assert cached(tmp_path / "files") == []


def test_a_packed_answer_is_unpacked(host, tmp_path):
    host.answers = {"/f": [(200, gzip.compress(BODY), {"Content-Encoding": "gzip"})]}
    assert get(f"{host.url}/f", tmp_path).read_bytes() == BODY


@pytest.mark.parametrize(
    ("answer", "reason"), [(404, "HTTP 404"), (503, "HTTP 503"), (cut_short, "cut short")]
)
def test_a_file_that_cannot_be_had_names_the_url_and_no_credentials(host, tmp_path, answer, reason):
    host.answers = {"/f.zip?key=secret": [answer]}
    url = host.url.replace("http://", "http://user:secret@") + "/f.zip?key=secret"
    with pytest.raises(InputError, match=r"/f\.zip cannot be fetched") as raised:
        get(url, tmp_path)
    assert reason in str(raised.value)
    assert "data.mirror" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert not list(tmp_path.glob("files/*"))


def test_a_failed_update_leaves_the_old_file(host, tmp_path):
    host.answers = {"/f": [(200, BODY, {"ETag": '"1"'}), cut_short]}
    path = get(f"{host.url}/f", tmp_path)
    with pytest.raises(InputError):
        get(f"{host.url}/f", tmp_path)
    assert path.read_bytes() == BODY


def test_a_file_that_trickles_ends_and_a_slow_one_does_not(host, tmp_path):
    def slow(handler):  # longer than an attempt's time in all, but never slower than a block in it
        handler.send_response(200)
        handler.send_header("Content-Length", str(10 * files.BLOCK))
        handler.end_headers()
        for _ in range(10):
            handler.wfile.write(bytes(files.BLOCK))
            time.sleep(0.1)

    times = {"connect_timeout_s": 0.2, "read_timeout_s": 0.4, "retries": 0}
    host.answers = {"/slow": [slow], "/trickle": [trickle]}
    assert get(f"{host.url}/slow", tmp_path, **times).stat().st_size == 10 * files.BLOCK
    start = time.monotonic()
    with pytest.raises(InputError, match="timed out"):
        get(f"{host.url}/trickle", tmp_path, **times)
    assert time.monotonic() - start < 3


def claims_a_terabyte(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(10**12))
    handler.end_headers()


@pytest.mark.parametrize("answer", [endless, claims_a_terabyte, bytes(100_001)])
def test_a_file_larger_than_its_reader_takes_is_refused_at_once(host, tmp_path, answer):
    host.answers = {"/f": [answer]}
    with pytest.raises(InputError, match=r"/f cannot be fetched: more than 100,000 bytes"):
        get(f"{host.url}/f", tmp_path, max_bytes=100_000)
    assert host.asked("/f") == 1
    assert not list(tmp_path.glob("files/*"))


def test_a_file_as_large_as_its_reader_takes_is_fetched(host, tmp_path):
    host.answers = {"/f": [bytes(100_000)]}
    assert get(f"{host.url}/f", tmp_path, max_bytes=100_000).stat().st_size == 100_000


def test_a_small_answer_that_unpacks_to_a_large_file_is_refused(host, tmp_path):
    packed = gzip.compress(bytes(1_000_000))
    host.answers = {"/f": [(200, packed, {"Content-Encoding": "gzip"})]}
    with pytest.raises(InputError, match="more than 100,000 bytes"):
        get(f"{host.url}/f", tmp_path, max_bytes=100_000)


@pytest.mark.parametrize("answer", [endless, claims_a_terabyte])
def test_a_file_that_would_fill_the_disk_is_refused_before_it_does(
    host, tmp_path, monkeypatch, answer
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)  # whatever other tests write
    monkeypatch.setattr(size_limit, "MIN_FREE", usage.free - 1_000_000)
    host.answers = {"/f": [(200, BODY, {"ETag": '"1"'})]}
    path = get(f"{host.url}/f", tmp_path)
    host.answers = {"/f": [answer]}
    with pytest.raises(InputError, match=r"/f does not fit on the disk: .* make room there"):
        get(f"{host.url}/f", tmp_path)
    assert path.read_bytes() == BODY
    assert cached(path.parent) == [path.name]


@pytest.mark.parametrize("url", ["ftp://a/b", "http://[bad/", "nothing"])
def test_what_is_no_http_url_is_an_input_error(tmp_path, url):
    with pytest.raises(InputError, match="cannot be fetched"):
        get(url, tmp_path)


def test_damaged_metadata_are_ignored(host, tmp_path):
    host.answers = {"/f": [(200, BODY, {"ETag": '"1"'})]}
    path = get(f"{host.url}/f", tmp_path)
    (metadata,) = path.parent.glob("*.json")
    assert json.loads(metadata.read_text())["ETag"] == '"1"'
    metadata.write_text("[]")
    assert get(f"{host.url}/f", tmp_path).read_bytes() == BODY
