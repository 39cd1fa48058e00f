"""Requests to a host that misbehaves in every way that hosts do."""

import asyncio
import datetime
import email.utils
import gzip
import random
import socket
import ssl
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from helpers.http_host import (
    BODY,
    cut_short,
    cut_short_chunks,
    endless,
    hang_up,
    no_http,
    odd_length,
    reset,
    settings,
    too_long,
    trickle,
    trickle_headers,
)

from stages.common.errors import InputError
from stages.download.failures import Failure
from stages.download.many import fetch_many


def fetch(urls, convert=bytes, mirror=None, **changes):
    """Return what each URL gave, and check that each was kept once."""
    kept, times = {}, Counter()

    def keep(url, result):
        kept[url] = result
        times[url] += 1

    with ThreadPoolExecutor(2) as threads:
        download = settings(**changes)
        fetch_many(urls, convert, keep, mirror=mirror, settings=download, threads=threads)
    assert times == Counter(urls)
    return kept


def fetch_one(url, **changes):
    return fetch([url], **changes)[url]


def test_every_url_is_kept_once(host):
    host.answers = {f"/{n}": [b"%d" % n] for n in range(100)}
    urls = [f"{host.url}/{n}" for n in range(100)]
    assert fetch(urls) == {f"{host.url}/{n}": b"%d" % n for n in range(100)}
    assert len(host.seen) == 100


def test_no_urls_are_no_work():
    assert fetch([]) == {}


def test_the_mirror_is_asked_instead(host):
    host.answers = {"/a.jpg?x=1": [BODY]}
    url = "https://nowhere.invalid/a.jpg?x=1"
    assert fetch([url], mirror=host.url) == {url: BODY}


@pytest.mark.parametrize(
    "fault",
    [
        *(408, 425, 429, 500, 502, 503, 504),
        *(cut_short, cut_short_chunks, hang_up, reset, no_http, odd_length, b"html"),
    ],
)
def test_faults_that_may_pass_are_tried_again(host, fault):
    def convert(body):
        if body == b"html":
            raise ValueError("not an image")
        return body

    host.answers = {"/a": [fault, fault, BODY]}
    assert fetch_one(f"{host.url}/a", convert=convert) == BODY


@pytest.mark.parametrize("status", [204, 300, 304, 400, 401, 403, 404, 410, 451])
def test_other_answers_are_final_at_once(host, status):
    host.answers = {"/a": [status, BODY]}
    assert fetch_one(f"{host.url}/a") == Failure(f"HTTP {status}")
    assert host.asked("/a") == 1


def test_after_the_last_try_the_reason_is_kept(host):
    host.answers = {"/a": [503], "/b": [b"x"]}

    def refuse(body):
        raise ValueError("not an image")

    assert fetch_one(f"{host.url}/a", retries=3) == Failure("HTTP 503")
    assert host.asked("/a") == 4
    assert fetch_one(f"{host.url}/b", convert=refuse, retries=0) == Failure("not an image")
    assert host.asked("/b") == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(host, form):
    in_2_s = email.utils.formatdate(time.time() + 2, usegmt=True)
    value = {"seconds": "1", "date": in_2_s}[form]
    host.answers = {"/a": [(429, b"", {"Retry-After": value}), BODY]}
    start = time.monotonic()
    assert fetch_one(f"{host.url}/a") == BODY
    assert 0.9 < time.monotonic() - start < 5


def record_pauses(monkeypatch):
    """Return a list that the pauses between requests are added to; do not really pause."""
    pauses, sleep = [], asyncio.sleep

    def short_sleep(seconds):
        pauses.append(seconds)
        return sleep(0)

    monkeypatch.setattr(asyncio, "sleep", short_sleep)
    return pauses


@pytest.mark.parametrize("value", ["100000", "9" * 400, "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_retry_after_is_capped(host, monkeypatch, value):
    pauses = record_pauses(monkeypatch)
    host.answers = {"/a": [(503, b"", {"Retry-After": value}), BODY]}
    assert fetch_one(f"{host.url}/a") == BODY
    assert [round(pause) for pause in pauses] == [30]


@pytest.mark.parametrize(
    "value",
    [
        *("", "soon", "-5", "Fri, 31 Dec 1999 23:59:59 GMT"),
        *(f"Fri, 31 Dec {'9' * 20} 23:59:59 GMT", f"Fri, 31 Dec 1999 23:59:59 +{'9' * 13}"),
    ],
)
def test_a_retry_after_that_means_nothing_is_passed_over(host, value):
    host.answers = {"/a": [(503, b"", {"Retry-After": value}), BODY]}
    start = time.monotonic()
    assert fetch_one(f"{host.url}/a") == BODY
    assert time.monotonic() - start < 2


def test_back_off_doubles_with_jitter_up_to_30_seconds(host, monkeypatch):
    pauses, lowest = record_pauses(monkeypatch), set()
    monkeypatch.setattr(random, "uniform", lambda low, high: lowest.add(low) or high)
    host.answers = {"/a": [503]}
    fetch_one(f"{host.url}/a", retries=8, backoff_s=0.5)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert lowest == {0}


@pytest.mark.parametrize("slow", [trickle, trickle_headers])
def test_an_answer_that_trickles_ends(host, slow):
    host.answers = {"/a": [slow]}
    start = time.monotonic()
    result = fetch_one(f"{host.url}/a", connect_timeout_s=0.2, read_timeout_s=0.4, retries=0)
    assert result == Failure("timed out")
    assert time.monotonic() - start < 3


def test_what_an_answer_has_too_much_does_not_spoil_the_next(host):
    host.answers = {"/long": [too_long]} | {f"/{n}": [BODY] for n in range(20)}
    urls = [f"{host.url}/{path}" for path in ("long", *range(20))]
    results = fetch(urls, concurrency=1, per_host=1)
    assert results.pop(urls[0]) == b"xxx"
    assert set(results.values()) == {BODY}


def test_no_answer_within_the_read_time_out_ends(host):
    host.answers = {"/a": [lambda handler: time.sleep(3)]}
    assert fetch_one(f"{host.url}/a", read_timeout_s=0.2, retries=0) == Failure("timed out")


def test_the_wait_for_a_slot_does_not_count_as_a_time_out(host):
    def slow(handler):
        time.sleep(0.4)
        handler.answer(200, BODY)

    host.answers = {f"/{n}": [slow] for n in range(8)}
    urls = [f"{host.url}/{n}" for n in range(8)]
    results = fetch(urls, per_host=1, connect_timeout_s=1.0, read_timeout_s=1.0, retries=0)
    assert set(results.values()) == {BODY}


@pytest.mark.parametrize(("changes", "most"), [({"concurrency": 3}, 3), ({"per_host": 2}, 2)])
def test_requests_under_way_are_limited(host, changes, most):
    under_way, seen, lock = 0, [], threading.Lock()

    def count(handler):
        nonlocal under_way
        with lock:
            under_way += 1
            seen.append(under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        handler.answer(200, BODY)

    host.answers = {f"/{n}": [count] for n in range(40)}
    fetch([f"{host.url}/{n}" for n in range(40)], **changes)
    assert max(seen) == most


def test_those_that_wait_to_be_tried_again_leave_the_slots_to_others(host):
    host.answers = {f"/{n}": [(503, b"", {"Retry-After": "1"}), BODY] for n in range(40)}
    start = time.monotonic()
    results = fetch([f"{host.url}/{n}" for n in range(40)], concurrency=4, per_host=4)
    assert set(results.values()) == {BODY}
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("answer", [endless, bytes(100_001)])
def test_too_large_an_answer_is_refused_at_once(host, answer):
    host.answers = {"/a": [answer]}
    assert fetch_one(f"{host.url}/a") == Failure("more than 100,000 bytes")
    assert host.asked("/a") == 1


def test_a_small_answer_that_unpacks_to_a_large_one_is_refused(host):
    packed = gzip.compress(bytes(50_000_000))
    host.answers = {"/a": [(200, packed, {"Content-Encoding": "gzip"})]}
    assert isinstance(fetch_one(f"{host.url}/a", retries=0), Failure)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/a%2Cb%3A%2f%7e.jpg?sign=x%2Cy%2F%3A%3d&z", None),  # signed as it is spelled
        ("/a(1),b;c=d@2x.jpg?w=1&w=2,3", None),
        ("/a b,é.jpg?q=ü", "/a%20b,%C3%A9.jpg?q=%C3%BC"),
        ("/a%zz.jpg", "/a%25zz.jpg"),
        ("/b/../a.jpg", "/a.jpg"),
        ("/a.jpg#b", "/a.jpg"),
        ("", "/"),
        ("?a=%2C", "/?a=%2C"),
    ],
)
@pytest.mark.parametrize("is_redirected", [False, True])
def test_a_url_is_asked_for_as_it_is_spelled_but_for_what_needs_an_escape(
    host, path, asked, is_redirected
):
    host.answers = {asked or path: [BODY]}
    url = f"{host.url}{path}"
    if is_redirected:
        location = url.encode().decode("latin-1")  # as hosts send it, the bytes of UTF-8
        host.answers["/from"] = [(302, b"", {"Location": location})]
        url = f"{host.url}/from"
    assert fetch_one(url) == BODY


def test_redirects_are_followed_up_to_five(host):
    for n in range(7):
        host.answers[f"/{n}"] = [(302, b"", {"Location": f"/{n + 1}"})]
    host.answers["/7"] = [BODY]
    assert fetch_one(f"{host.url}/2") == BODY
    assert fetch_one(f"{host.url}/1") == Failure("more than 5 redirects")


def test_a_redirect_in_a_circle_ends(host):
    host.answers = {"/a": [(302, b"", {"Location": "/a"})]}
    assert fetch_one(f"{host.url}/a") == Failure("more than 5 redirects")
    assert host.asked("/a") == 6


@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/a", "file:///etc/passwd", "data:,x", "http://["]
)
def test_redirects_to_anything_but_http_are_refused(host, location):
    host.answers = {"/a": [(302, b"", {"Location": location})]}
    assert isinstance(fetch_one(f"{host.url}/a"), Failure)
    assert host.asked("/a") == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://[",
        "http://a:99999/",
        "http://a..b/",
        "ftp://a/b",
        f"http://{'a' * 70}.b/",
        "http://xn--a/",
        "http://a\0b/",
        "http://a\nb/",
        "http://\ud83d/",
    ],
)
def test_what_is_no_url_is_a_failure_and_no_crash(url):
    assert isinstance(fetch_one(url, retries=0), Failure)


def test_no_connection_is_a_failure():
    assert fetch_one("http://127.0.0.1:9/a") == Failure("no connection")
    assert fetch_one("http://nowhere.invalid/a", retries=0).reason in (
        "its host is not known",
        "timed out",
    )


def test_a_host_that_never_answers_is_given_up():
    urls = [f"http://127.0.0.1:9/{n}" for n in range(1000)]
    times = {"connect_timeout_s": 0.2, "read_timeout_s": 0.2, "retries": 20, "backoff_s": 0.2}
    start = time.monotonic()
    results = fetch(urls, **times)
    assert set(results.values()) <= {Failure("its host never answered"), Failure("no connection")}
    assert time.monotonic() - start < 10


def test_a_host_that_only_trickles_is_given_up(host):
    host.answers = {f"/{n}": [trickle] for n in range(300)}
    times = {"connect_timeout_s": 0.1, "read_timeout_s": 0.2, "retries": 0}
    start = time.monotonic()
    results = fetch([f"{host.url}/{n}" for n in range(300)], concurrency=50, per_host=50, **times)
    assert Counter(results.values())[Failure("its host never answered")] > 100
    assert time.monotonic() - start < 10


def test_a_host_that_never_answers_does_not_hold_up_another(host):
    ended = []

    def keep(url, result):
        ended.append((url.startswith(host.url), time.monotonic()))

    host.answers = {f"/{n}": [BODY] for n in range(40)}
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as threads:
        urls = [f"http://127.0.0.1:{silent.getsockname()[1]}/{n}" for n in range(20)]
        urls += [f"{host.url}/{n}" for n in range(40)]
        download = settings(concurrency=6, per_host=4, read_timeout_s=0.6, retries=0)
        fetch_many(urls, bytes, keep, mirror=None, settings=download, threads=threads)
    good = [time_s for is_good, time_s in ended if is_good]
    bad = [time_s for is_good, time_s in ended if not is_good]
    assert (len(good), len(bad)) == (40, 20)
    assert max(good) < sorted(bad)[10]


def test_a_certificate_that_nobody_vouches_for_is_final_at_once(host, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    host.server.socket = context.wrap_socket(host.server.socket, server_side=True)
    url = host.url.replace("http://", "https://") + "/a"
    host.answers = {"/a": [BODY]}
    assert fetch_one(url) == Failure("its host has no valid certificate")
    assert host.seen == []


def self_signed(folder):
    """Return a file with a key and a certificate that is signed with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(datetime.datetime.now(datetime.UTC) - day)
        .not_valid_after(datetime.datetime.now(datetime.UTC) + day)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "certificate.pem"
    path.write_bytes(key.private_bytes(pem, form, bare) + certificate.public_bytes(pem))
    return path


def test_passwords_of_hosts_come_from_netrc(host, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password word")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    host.answers = {"/a": [BODY]}
    assert fetch_one(f"{host.url}/a") == BODY
    assert host.seen[0][1]["Authorization"] == "Basic dXNlcjp3b3Jk"


def test_no_credentials_in_reasons(host):
    url = host.url.replace("http://", "http://user:secret@") + "/a?key=secret"
    for answer in (404, 503, cut_short, hang_up, no_http, endless):
        host.answers = {"/a?key=secret": [answer]}
        assert "secret" not in fetch_one(url, retries=0).reason


def test_an_error_in_keep_ends_it(host):
    host.answers = {f"/{n}": [BODY] for n in range(50)}

    def keep(url, result):
        raise InputError("the disk is full")

    urls = [f"{host.url}/{n}" for n in range(50)]
    with ThreadPoolExecutor(1) as threads, pytest.raises(InputError, match="the disk is full"):
        fetch_many(urls, bytes, keep, mirror=None, settings=settings(), threads=threads)
