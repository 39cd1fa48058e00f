"""A host on loopback that misbehaves in every way that hosts do, and settings to ask it."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
    disable_nagle_algorithm = True  # or a body would wait for what says that its head has come

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
        pass  # a client that hangs up is what the tests are about


class Host:
    """A host on loopback: for a path, the answers that it gives in turn, the last for ever."""

    def __init__(self):
        self.answers, self.seen, self.lock = {}, [], threading.Lock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.host = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def asked(self, path):
        return sum(seen == path for seen, _ in self.seen)


@contextmanager
def serving() -> Iterator[Host]:
    """Run a host until the block ends."""
    host = Host()
    thread = threading.Thread(target=host.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield host
    finally:
        host.server.shutdown()
        host.server.server_close()
        thread.join()


class Busy:
    """An answer, by its path, that takes a while; `most` is how many were under way at once."""

    def __init__(self, body_of):
        self.body_of, self.now, self.most, self.lock = body_of, 0, 0, threading.Lock()

    def __call__(self, handler):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.03)
        with self.lock:
            self.now -= 1
        handler.answer(200, self.body_of(handler.path))


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
    """Send more than Content-Length says: the rest looks like the start of the next answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "3")
    handler.end_headers()
    time.sleep(0.05)  # what comes with the head would be taken for a part of it
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
