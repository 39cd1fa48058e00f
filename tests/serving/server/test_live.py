"""A real server on loopback: connections, slow clients, many at once, and its end."""

import contextlib
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from helpers.models import LABELS, row_of
from helpers.repository import TOP
from helpers.servers import HeldPredictor, ask, in_json, running, send

from serving.server import __main__ as server
from serving.server.settings import ServerSettings
from stages.common.errors import InputError

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
LAMP = b'{"products": [{"name": "Lamp"}]}'


def as_chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture(scope="module")
def port(predictor):
    with running(predictor, max_body_bytes=100_000, header_timeout_s=1, body_timeout_s=0.5) as port:
        yield port


def test_a_body_in_chunks_is_read_and_one_that_is_too_large_refused(port):
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [as_chunk(LAMP[:9]), as_chunk(LAMP[9:]), as_chunk(b"")]
    assert b'"label":"Lamps"' in send(port, head, *chunks)
    answer = send(port, head, *[as_chunk(bytes(30_000))] * 4, as_chunk(b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100,000 bytes" in answer


def test_an_answer_to_head_has_its_length_and_no_body(port):
    answer = send(port, b"HEAD /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: 15" in answer and answer.endswith(b"\r\n\r\n")


def test_a_client_that_asks_before_it_sends_is_refused_at_once(port):
    head = HEAD + b"Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n"
    answer = send(port, head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


@pytest.mark.parametrize("length", [b"Content-Length: 100\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_that_does_not_come_is_given_up(port, length):
    answer = send(port, HEAD + length + b"\r\n" + b"5\r\nhallo\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"0.5 seconds" in answer


def test_a_connection_without_a_request_is_closed(port):
    with ThreadPoolExecutor() as threads:
        answers = threads.map(partial(send, port), [b"", b"GET /hea", HEAD])
        assert list(answers) == [b"", b"", b""]


def test_a_body_that_never_ends_after_the_answer_is_not_waited_for(port):
    head = b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
    answer = send(port, head, b"a")
    assert answer.startswith(b"HTTP/1.1 413 ") or answer.startswith(b"HTTP/1.1 408 ")


def test_requests_in_one_go_are_all_answered_in_order(port):
    paths = [b"/health", b"/nothing", b"/v1/labels", b"/health"]
    requests = [b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in paths]
    last = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = send(port, b"".join(requests) + last)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404", b"200", b"200", b"200"]


def test_16_clients_at_once_get_their_own_answers(predictor):
    rows = {
        client: [row_of(LABELS[(client + n) % 4], 100 * client + n) for n in range(6)]
        for client in range(16)
    }
    wanted = {client: predictor.predict(products) for client, products in rows.items()}
    found, held = {}, HeldPredictor(predictor)
    with running(held, batch_size=8) as port:

        def work(client):
            products = list(map(in_json, rows[client]))
            whole = ask(port, products[:3])[1]["predictions"]
            alone = [ask(port, [product])[1]["predictions"][0] for product in products[3:]]
            found[client] = whole + alone

        threads = [threading.Thread(target=work, args=(client,)) for client in rows]
        for thread in threads:
            thread.start()
        held.gate.set()
        for thread in threads:
            thread.join()
    assert max(held.batches) > 3  # requests shared a batch
    for client, predictions in wanted.items():
        assert [one["sku"] for one in found[client]] == [one.sku for one in predictions]
        for one, prediction in zip(found[client], predictions, strict=True):
            assert one["image"]["label"] == prediction.image.label
            assert one["probability"] == pytest.approx(prediction.probability, abs=1e-6)
            assert one["text"]["probability"] == pytest.approx(prediction.text.probability)


def test_bodies_that_would_fill_the_memory_wait_their_turn(predictor):
    with running(predictor, max_body_bytes=1000, max_bodies_bytes=1500) as port:
        for _ in range(3):  # what one gives back, the next may have
            with socket.create_connection(("127.0.0.1", port), timeout=60) as first:
                first.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + bytes(900))
                close = b"Connection: close\r\n"
                while (
                    answer := send(port, HEAD + close + b"Content-Length: 700\r\n\r\n" + bytes(700))
                ).startswith(b"HTTP/1.1 400"):
                    pass  # the first is not read yet
                assert answer.startswith(b"HTTP/1.1 429")
                assert b"retry-after: 1" in answer.lower()
                first.sendall(bytes(100))
                assert first.recv(12) == b"HTTP/1.1 400"


def test_a_body_that_was_refused_fills_no_memory_while_the_rest_of_it_comes(predictor):
    started = running(predictor, max_body_bytes=1000, max_bodies_bytes=2000)
    with started as port, socket.create_connection(("127.0.0.1", port), timeout=60) as first:
        first.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + as_chunk(bytes(1500)))
        other = HEAD + b"Connection: close\r\nContent-Length: 700\r\n\r\n" + bytes(700)
        answers = [send(port, other) for _ in range(20)]  # the first is read at one of them
        first.sendall(as_chunk(b""))
        assert first.recv(12) == b"HTTP/1.1 413"
    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 400"}


PATIENCE = {"header_timeout_s": 1, "max_products": 1000}


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def large_answer(port):
    """Return a connection to which more is sent than the system keeps for it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", port))
    body = json.dumps({"products": [{"name": "Lamp"}] * 1000, "neighbors": 10}).encode()
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return connection


def test_an_answer_that_is_read_slowly_is_sent_whole(predictor):
    with running(predictor, **PATIENCE) as port, large_answer(port) as connection:
        file = connection.makefile("rb")
        head = b"".join(iter(file.readline, b"\r\n"))
        length = int(re.search(rb"content-length: (\d+)", head)[1])
        first = file.read(length // 2)
        time.sleep(1.5)  # longer than a connection may be idle
        assert len(first + file.read(length - length // 2)) == length > 10_000_000


def test_an_answer_that_is_never_read_is_given_up(predictor, monkeypatch):
    monkeypatch.setattr("serving.server.connections.WRITE_S", 0.1)
    with running(predictor, **PATIENCE) as port, large_answer(port) as connection:
        connection.recv(1)
        files, until = open_files(), time.monotonic() + 60
        while open_files() == files:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_a_client_that_hangs_up_leaves_the_queue(predictor):
    held = HeldPredictor(predictor)
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(LAMP) + LAMP
    with running(held, max_queue=300) as port:
        first = threading.Thread(target=ask, args=(port, [{"name": "Lamp"}]))
        first.start()
        while not held.batches:
            first.join(0.01)
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(request)
        metrics = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        left = (
            b'predict",status="499"} 5.0',
            b"queue_products 1.0",
        )  # a moment after it is counted
        found = b""
        while not all(line in found for line in left):
            first.join(0.01)
            found = send(port, metrics)
        held.gate.set()
        first.join()
        assert ask(port, [{"name": "Radio"}])[0] == 200
    assert held.batches == [1, 1]


def test_a_client_that_hangs_up_before_its_body_has_come_is_no_fault_of_the_server(predictor):
    with running(predictor) as port:
        for length in (b"Content-Length: 1000", b"Content-Length: 1000000000"):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(HEAD + length + b"\r\n\r\n" + LAMP)
        metrics = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        until = time.monotonic() + 60
        while b'/v1/predict",status="499"} 2.0' not in (found := send(port, metrics)):
            assert b'status="500"' not in found and time.monotonic() < until
            time.sleep(0.01)


def test_connections_over_the_limit_are_closed_and_those_below_answered(predictor):
    with running(predictor, max_connections=3) as port:
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        held[-1].sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert held[-1].recv(100).startswith(b"HTTP/1.1 200")
        fourth = socket.create_connection(("127.0.0.1", port), timeout=60)
        with fourth, contextlib.suppress(ConnectionResetError):
            assert fourth.recv(1) == b""
        for connection in held:
            connection.close()


def test_sigterm_finishes_what_has_begun_and_exits_with_0(model_folders, tmp_path):
    (tmp_path / "\u0442").symlink_to(model_folders["text"])  # the output's encoding lacks it
    command = [sys.executable, "-m", "serving.server", "--port", "0", "--model"]
    with subprocess.Popen(
        [*command, str(tmp_path / "\u0442")],
        cwd=TOP,
        env={**os.environ, "PRODUCT_CLASSIFIER_API_KEY": "s3cret", "PYTHONIOENCODING": "latin-1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        line = process.stdout.readline()
        assert "4 classes" in line and "\\u0442" in line
        port = int(re.search(r"at http://127\.0\.0\.1:(\d+)$", line)[1])
        key = b"Authorization: Bearer s3cret\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(HEAD + key + b"Content-Length: %d\r\n\r\n" % len(LAMP) + LAMP[:9])
            idle = socket.create_connection(("127.0.0.1", port), timeout=60)
            with socket.create_connection(("127.0.0.1", port), timeout=60) as third:
                third.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
                assert third.recv(100).startswith(b"HTTP/1.1 200")  # the other two are seen too
            process.send_signal(signal.SIGTERM)
            assert idle.recv(1) == b""  # it has begun to stop
            connection.sendall(LAMP[9:])
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def test_what_is_wrong_at_the_start_is_said_in_a_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for options, named in (
            (["--model", str(tmp_path), "--port", "0"], str(tmp_path)),
            (["--port", port], f"port {port}"),
            (["--port", port, "--host", "shop..local"], "shop..local"),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "serving.server", *options],
                cwd=TOP,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 1
            assert re.fullmatch(f"error: .*{re.escape(named)}.*\n", done.stderr)


def test_sigterm_that_comes_before_it_answers_is_not_lost(monkeypatch, predictor):
    class Starting:
        should_exit = False

        def run(self, sockets):
            os.kill(os.getpid(), signal.SIGTERM)
            assert self.should_exit

    monkeypatch.setattr("serving.predictor.Predictor.load", lambda folder: predictor)
    monkeypatch.setattr(server, "server", lambda *_: Starting())
    earlier = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        with server.listening_socket("127.0.0.1", 0) as listener:
            server.serve(ServerSettings(), listener)
    finally:
        for name, handler in earlier.items():
            signal.signal(name, handler)


def test_of_two_that_start_at_once_the_second_says_that_the_port_is_taken(monkeypatch, predictor):
    monkeypatch.setattr("serving.predictor.Predictor.load", lambda folder: predictor)
    with server.listening_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with server.listening_socket("127.0.0.1", port) as second:
            first.listen()
            with pytest.raises(InputError, match=f"cannot listen at 127.0.0.1, port {port} "):
                server.serve(ServerSettings(port=port), second)


def test_a_model_that_may_not_be_read_is_named_in_a_line(monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(sys, "argv", ["server", "--port", "0", "--model", "mounted"])
    with pytest.raises(SystemExit) as ended:
        server.main()
    assert ended.value.code == f"error: mounted/model.json: {os.strerror(errno.EACCES)}"
