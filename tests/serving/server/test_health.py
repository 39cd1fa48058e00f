"""What a container engine asks the server, and what it is told."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from serving.server import health


@pytest.mark.parametrize(("status", "message"), [(200, None), (503, "the server is not well")])
def test_the_check_says_what_the_server_says(monkeypatch, status, message):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(sys, "argv", ["health"])
        monkeypatch.setenv("PRODUCT_CLASSIFIER_PORT", str(server.server_port))
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # loopback is never behind it
        with pytest.raises(SystemExit) as ended:
            health.main()
        server.shutdown()
    assert ended.value.code is None if message is None else message in ended.value.code
