"""Requests against a host that misbehaves in every way that hosts do."""

import asyncio
import datetime
import email.utils
import gzip
import json
import shutil
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import create_autospec

import gdown
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from stages.common.errors import InputError
from stages.download import http
from stages.download.http import Failure, fetch_each, fetch_file, mirrored
from stages.download.settings import DownloadSettings

BODY = b"a whole body " * 50


def settings(**changes) -> DownloadSettings:
    defaults = {
        "concurrency": 8,
        "per_host": 8,
        "connect_timeout_s": 2.0,
        "read_timeout_s": 2.0,
        "retries": 2,
        "backoff_s": 0.01,
        "max_bytes": 100_000,
        "max_failed": 0.2,
        "retry_failed": False,
        "shard_rows": 10,
    }
    return DownloadSettings(**{**defaults, **changes})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        host = self.server.host
        with host.lock:
            host.seen.append((self.path, dict(self.headers)))
            answers = host.answers.get(self.path, [404])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer(self)
        elif isinstance(answer, tuple):
            self.answer(*answer)
        else:
            self.answer(*((200, answer) if isinstance(answer, bytes) else (answer, b"")))

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # a client that hangs up is what these tests are about


class Host:
    """A host on loopback: for a path, the answers that it gives in turn, the last for ever."""

    def __init__(self):
        self.answers, self.seen, self.lock = {}, [], threading.Lock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.host = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def asked(self, path):
        return sum(seen == path for seen, _ in self.seen)


@pytest.fixture
def host():
    host = Host()
    thread = threading.Thread(target=host.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield host
    host.server.shutdown()
    host.server.server_close()
    thread.join()


def fetch(urls, convert=bytes, mirror=None, **changes):
    """Return what each URL gave, and check that each was kept once."""
    kept, times = {}, Counter()

    def keep(url, result):
        kept[url] = result
        times[url] += 1

    with ThreadPoolExecutor(2) as threads:
        download = settings(**changes)
        fetch_each(urls, convert, keep, mirror=mirror, download=download, threads=threads)
    assert times == Counter(urls)
    return kept


def fetch_one(url, **changes):
    return fetch([url], **changes)[url]


def cut_short(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"x" * 500)
    handler.close_connection = True


def cut_short_chunks(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"5\r\nhello\r\n")
    handler.close_connection = True


def hang_up(handler):
    handler.close_connection = True


def reset(handler):
    option = struct.pack("ii", 1, 0)  # to close means to reset
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
    handler.close_connection = True


def too_long(handler):
    """Give more than the length that is said: the rest is taken for the next answer's start."""
    handler.send_response(200)
    handler.send_header("Content-Length", "3")
    handler.end_headers()
    handler.wfile.write(b"x" * 5000)


def odd_length(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n" + BODY)
    handler.close_connection = True


def no_http(handler):
    handler.wfile.write(b"220 ftp.example ready\r\n\r\n")
    handler.close_connection = True


def trickle(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def trickle_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(1000):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(10_000))


def test_mirrored_keeps_path_and_query():
    url = "https://user:key@img.example:8443/a%20b/c.jpg?size=2&x=%2F#top"
    assert mirrored(url, None) == url
    assert (
        mirrored(url, "http://127.0.0.1:8765") == "http://127.0.0.1:8765/a%20b/c.jpg?size=2&x=%2F"
    )


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
            raise ValueError("no picture")
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
        raise ValueError("no picture")

    assert fetch_one(f"{host.url}/a", retries=3) == Failure("HTTP 503")
    assert host.asked("/a") == 4
    assert fetch_one(f"{host.url}/b", convert=refuse, retries=0) == Failure("no picture")
    assert host.asked("/b") == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(host, form):
    in_2_s = email.utils.formatdate(time.time() + 2, usegmt=True)
    value = {"seconds": "1", "date": in_2_s}[form]
    host.answers = {"/a": [(429, b"", {"Retry-After": value}), BODY]}
    start = time.monotonic()
    assert fetch_one(f"{host.url}/a") == BODY
    assert 0.9 < time.monotonic() - start < 5


@pytest.mark.parametrize("value", ["100000", "9" * 400, "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_retry_after_is_capped(host, monkeypatch, value):
    pauses = []
    sleep = asyncio.sleep

    def short_sleep(seconds):
        pauses.append(seconds)
        return sleep(0)

    monkeypatch.setattr(asyncio, "sleep", short_sleep)
    host.answers = {"/a": [(503, b"", {"Retry-After": value}), BODY]}
    assert fetch_one(f"{host.url}/a") == BODY
    assert [round(pause) for pause in pauses] == [30]


@pytest.mark.parametrize("value", ["", "soon", "-5", "Fri, 31 Dec 1999 23:59:59 GMT"])
def test_a_retry_after_that_means_nothing_is_passed_over(host, value):
    host.answers = {"/a": [(503, b"", {"Retry-After": value}), BODY]}
    start = time.monotonic()
    assert fetch_one(f"{host.url}/a") == BODY
    assert time.monotonic() - start < 2


def test_back_off_doubles_with_jitter_up_to_30_seconds(host, monkeypatch):
    longest = []
    monkeypatch.setattr(http.random, "uniform", lambda low, high: longest.append((low, high)) or 0)
    host.answers = {"/a": [503]}
    fetch_one(f"{host.url}/a", retries=8, backoff_s=0.5)
    assert longest == [(0, seconds) for seconds in (0.5, 1, 2, 4, 8, 16, 30, 30)]


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
        time.sleep(0.15)
        handler.answer(200, BODY)

    host.answers = {f"/{n}": [slow] for n in range(8)}
    urls = [f"{host.url}/{n}" for n in range(8)]
    results = fetch(urls, per_host=1, connect_timeout_s=0.3, read_timeout_s=0.3, retries=0)
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
    "place", ["ftp://127.0.0.1/a", "file:///etc/passwd", "data:,x", "http://["]
)
def test_redirects_to_anything_but_http_are_refused(host, place):
    host.answers = {"/a": [(302, b"", {"Location": place})]}
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
    times = {"connect_timeout_s": 0.2, "read_timeout_s": 0.2, "retries": 20, "backoff_s": 1.0}
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

    host.answers = {f"/{n}": [BODY] for n in range(100)}
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as threads:
        urls = [f"http://127.0.0.1:{silent.getsockname()[1]}/{n}" for n in range(60)]
        urls += [f"{host.url}/{n}" for n in range(100)]
        download = settings(concurrency=6, per_host=4, read_timeout_s=0.6, retries=0)
        fetch_each(urls, bytes, keep, mirror=None, download=download, threads=threads)
    good = [at for is_good, at in ended if is_good]
    bad = [at for is_good, at in ended if not is_good]
    assert (len(good), len(bad)) == (100, 60)
    assert max(good) < sorted(bad)[30]


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
        fetch_each(urls, bytes, keep, mirror=None, download=settings(), threads=threads)


def cached(folder):
    """Return the files in `folder` that are no whole copy and no facts about one."""
    names = [path.name for path in folder.iterdir()]
    return [name for name in names if not name.endswith((".json", ".zip"))]


def get(url, tmp_path, mirror=None, max_bytes=None, **changes):
    return fetch_file(
        url,
        mirror=mirror,
        download=settings(**changes),
        max_bytes=max_bytes,
        cache=tmp_path / "files",
    )


def test_a_file_is_fetched_whole_and_asked_for_again_only_if_changed(host, tmp_path):
    body = bytes(range(256)) * 4000  # larger than `max_bytes`, which is for pictures
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


def test_files_of_two_urls_do_not_mix(host, tmp_path):
    host.answers = {"/f?v=1": [b"one"], "/f?v=2": [b"two"]}
    assert get(f"{host.url}/f?v=1", tmp_path).read_bytes() == b"one"
    assert get(f"{host.url}/f?v=2", tmp_path).read_bytes() == b"two"


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
        handler.send_header("Content-Length", str(10 * http.BLOCK))
        handler.end_headers()
        for _ in range(10):
            handler.wfile.write(bytes(http.BLOCK))
            time.sleep(0.1)

    times = {"connect_timeout_s": 0.2, "read_timeout_s": 0.4, "retries": 0}
    host.answers = {"/slow": [slow], "/trickle": [trickle]}
    assert get(f"{host.url}/slow", tmp_path, **times).stat().st_size == 10 * http.BLOCK
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
    free = shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(http, "LEFT_FREE", free - 1_000_000)
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


DRIVE = "https://drive.google.com/file/d/1AbCdEfGhIjKlMnOp/view?usp=sharing"


def test_a_google_drive_link_goes_through_gdown_once(tmp_path, monkeypatch):
    def give(url, output, **_):
        assert url == DRIVE
        with open(output, "wb") as file:  # noqa: PTH123
            file.write(BODY)

    download = create_autospec(gdown.download, side_effect=give)
    monkeypatch.setattr(gdown, "download", download)
    path = get(DRIVE, tmp_path)
    assert path.read_bytes() == BODY
    assert get(DRIVE, tmp_path) == path
    assert download.call_count == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("most", "left", "reason"),
    [(100_000, 0, "more than 100,000 bytes"), (None, 10**15, "does not fit on the disk")],
)
def test_a_google_drive_link_to_too_large_a_file_is_refused(
    tmp_path, monkeypatch, most, left, reason
):
    def give(url, output, *, progress, **_):
        progress(10_000, 1_000_000)

    monkeypatch.setattr(gdown, "download", create_autospec(gdown.download, side_effect=give))
    monkeypatch.setattr(http, "LEFT_FREE", left)
    with pytest.raises(InputError, match=reason):
        get(DRIVE, tmp_path, max_bytes=most)
    assert not list(tmp_path.glob("files/*"))


@pytest.mark.parametrize(
    "error",
    [
        gdown.FileURLRetrievalError("Cannot retrieve the public link"),
        gdown.DownloadError("DownloadSettings is incomplete"),
        requests.ConnectionError("no route"),
        requests.HTTPError("404"),
    ],
)
def test_a_google_drive_link_that_gives_nothing_is_an_input_error(tmp_path, monkeypatch, error):
    monkeypatch.setattr(gdown, "download", create_autospec(gdown.download, side_effect=error))
    with pytest.raises(InputError, match=r"drive\.google\.com.*share it with anyone"):
        get(DRIVE, tmp_path)
    assert not list(tmp_path.glob("files/*"))


def test_a_google_drive_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="to no file"):
        get("https://drive.google.com/drive/folders/1AbCdEfGhIjKlMnOpQrStUvWxYz", tmp_path)


def test_a_mirror_stands_in_for_google_drive(host, tmp_path):
    host.answers = {"/file/d/1AbCdEfGhIjKlMnOp/view?usp=sharing": [BODY]}
    assert get(DRIVE, tmp_path, mirror=host.url).read_bytes() == BODY


def test_facts_that_are_damaged_are_passed_over(host, tmp_path):
    host.answers = {"/f": [(200, BODY, {"ETag": '"1"'})]}
    path = get(f"{host.url}/f", tmp_path)
    (facts,) = path.parent.glob("*.json")
    assert json.loads(facts.read_text())["ETag"] == '"1"'
    facts.write_text("[]")
    assert get(f"{host.url}/f", tmp_path).read_bytes() == BODY
