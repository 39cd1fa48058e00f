"""200,000 requests as nobody should send them: the server answers, stays small, and goes on."""

import contextlib
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from helpers.copies import TOP
from helpers.hostile_requests import framed, slow, unframed
from helpers.models import LABELS, make_model, row_of
from helpers.servers import ask, in_json

REQUESTS = int(os.environ.get("HOSTILE_REQUESTS", "200000"))
CONNECTIONS = 4
AT_ONCE = 16  # requests that are sent before the first answer is read
UNFRAMED = 10  # one in so many rounds
SLOW = 40
HANGS_S = 60
MIB = 1 << 20
GROWTH = 400 * MIB
LEAK = 60 * MIB
ANSWERS = {200, 400, 404, 405, 408, 413, 415, 422, 429}
OPTIONS = {
    "--max-body-bytes": 1_000_000,
    "--max-megapixels": 4,
    "--header-timeout-s": 5,
    "--body-timeout-s": 2,
    "--max-connections": 200,
}


@contextlib.contextmanager
def server(folder):
    options = [str(word) for pair in OPTIONS.items() for word in pair]
    with subprocess.Popen(
        [sys.executable, "-m", "serving.server", "--port", "0", "--model", str(folder), *options],
        cwd=TOP,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline()
            yield process, int(re.search(r":(\d+)$", line)[1])
        finally:
            process.kill()


def memory(process, name="VmRSS"):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1024


def files(process):
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=HANGS_S)


def read_answer(file):
    """Return the status of the next answer and whether the connection ends with it."""
    status, ends, length = int(file.readline().split()[1]), False, 0
    while (line := file.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
        ends = ends or (name.lower(), value.strip().lower()) == (b"connection", b"close")
    body = file.read(length)
    assert b"root:" not in body, "it sends /etc/passwd"
    return status, ends


class Attacker:
    """Sends hostile requests on one connection after another."""

    def __init__(self, port, seed):
        self.port, self.rng = port, random.Random(seed)
        self.framed = framed(seed)
        self.answers, self.open = Counter(), []
        self.error = None

    def run(self, count):
        try:
            for number in itertools.count():
                if self.answers.total() >= count:
                    break
                self.pipeline()
                if number % UNFRAMED == 0:
                    self.rubbish()
                if number % SLOW == 0:
                    self.leave_open()
        except BaseException as error:
            self.error = error
        for connection in self.open:
            connection.close()

    def pipeline(self):
        """Send some requests in one go, read the answers; some clients do not wait for them."""
        with connect(self.port) as connection, connection.makefile("rb") as file:
            for _ in range(self.rng.randrange(1, 8)):
                batch = list(itertools.islice(self.framed, AT_ONCE))
                sender = threading.Thread(target=send_all, args=(connection, b"".join(batch)))
                sender.start()
                ends = True
                try:
                    for _ in batch:
                        status, ends = read_answer(file)
                        self.answers[status] += 1
                        if ends:
                            return
                finally:
                    if ends:
                        connection.shutdown(socket.SHUT_RDWR)
                    sender.join()
                if self.rng.random() < 0.02:
                    send_all(connection, b"".join(batch))
                    return

    def rubbish(self):
        """Send what is no request; the server answers or hangs up, in time."""
        with connect(self.port) as connection:
            send_all(connection, unframed(self.rng))
            try:
                connection.shutdown(socket.SHUT_WR)
                start = connection.recv(12)
                while connection.recv(65536):
                    pass
            except ConnectionError:
                start = b""
        self.answers[int(start[9:12]) if start[9:12].isdigit() else "hung up"] += 1

    def leave_open(self):
        """Send a part of a request and go on elsewhere."""
        connection = connect(self.port)
        send_all(connection, slow(self.rng))
        self.open.append(connection)
        if len(self.open) > 10:
            with self.open.pop(0) as oldest:
                try:
                    start = oldest.recv(12)
                except ConnectionError:
                    start = b""
            self.answers[int(start[9:12]) if start else "hung up"] += 1


def send_all(connection, data):
    with contextlib.suppress(OSError):  # where the server has hung up
        connection.sendall(data)


def attack(port, count, seed):
    attackers = [Attacker(port, seed + number) for number in range(CONNECTIONS)]
    threads = [
        threading.Thread(target=attacker.run, args=(count // CONNECTIONS,))
        for attacker in attackers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for attacker in attackers:
        if attacker.error:
            raise attacker.error
    return sum((attacker.answers for attacker in attackers), Counter())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models") / "multimodal")


def test_no_request_crashes_hangs_or_fills_the_server(folder):
    products = [in_json(row_of(label, number)) for label in LABELS for number in range(3)]
    with server(folder) as (process, port):
        wanted = ask(port, products, neighbors=1)
        idle, began = memory(process), time.monotonic()
        answers = attack(port, REQUESTS // 5, seed=1)
        early = memory(process)
        answers += attack(port, REQUESTS - REQUESTS // 5, seed=100)
        seconds = time.monotonic() - began
        peak, late = memory(process, "VmHWM"), memory(process)
        print(f"{answers.total():,} in {seconds:.0f} s: {dict(answers)}")
        print(*(f"{size // MIB} MiB" for size in (idle, early, late, peak)))
        assert ask(port, products, neighbors=1) == wanted
        time.sleep(OPTIONS["--header-timeout-s"] + 1)  # all connections are closed
        open_files = files(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANGS_S) == 0
        said = process.stderr.read()
    assert answers.total() >= REQUESTS
    assert set(answers) <= {*ANSWERS, "hung up"}
    assert answers[200] and answers[422]
    assert peak - idle < GROWTH
    assert late - early < LEAK
    assert open_files < 40
    assert said == ""
