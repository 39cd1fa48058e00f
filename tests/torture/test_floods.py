"""Answers of a gigabyte, sent or packed, from many slots at once: memory stays where it was."""

import gzip
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from helpers.copies import TOP

GIGABYTE = 1 << 30
BLOCK = bytes(1 << 20)
FETCH = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stages.download.failures import Failure
from stages.download.many import fetch_many
from stages.params import load_params

download = load_params().download.model_copy(update={"max_bytes": 1_000_000, "retries": 0})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = {}
with ThreadPoolExecutor(2) as threads:
    fetch_many(
        [f"{sys.argv[1]}/{n}" for n in range(100)], bytes, found.__setitem__,
        mirror=None, settings=download, threads=threads,
    )
assert len(found) == 100 and all(isinstance(end, Failure) for end in found.values()), found
print(sorted({end.reason for end in found.values()}))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


class Handler(BaseHTTPRequestHandler):
    """Answers with zeros for ever after the headers of `server.headers`, or with `server.body`."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        for _ in range(GIGABYTE // len(BLOCK)):
            self.wfile.write(self.server.body or BLOCK)
            if self.server.body:
                break


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


@pytest.mark.parametrize(
    ("headers", "is_packed"),
    [({}, False), ({"Content-Length": str(GIGABYTE)}, False), ({"Content-Encoding": "gzip"}, True)],
    ids=["without end", "with its length", "packed"],
)
def test_a_hundred_gigabytes_are_refused_in_little_memory(headers, is_packed):
    server = Server(("127.0.0.1", 0), Handler)
    server.headers = headers
    server.body = gzip.compress(bytes(GIGABYTE), 1) if is_packed else b""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = subprocess.run(
            [sys.executable, "-c", FETCH, f"http://127.0.0.1:{server.server_port}"],
            cwd=TOP,
            capture_output=True,
            text=True,
            timeout=300,
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert done.returncode == 0, done.stderr
    reasons, grown = done.stdout.splitlines()
    print(reasons, grown, "MB")
    # 48 slots of a megabyte and what the system buffers; a body that was kept is 1,024 MB.
    assert int(grown) < 400
