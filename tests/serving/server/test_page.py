"""The page's files: served with a policy that keeps the browser at home."""

import re

from fastapi.testclient import TestClient

from serving.server.app import create_app
from serving.server.page import FOLDER
from serving.server.settings import ServerSettings

AT_HOME = {"'none'", "'self'", "'script'", "data:", "blob:"}


def test_the_page_loads_nothing_from_elsewhere(text_predictor):
    files = sorted(FOLDER.iterdir())
    assert {file.suffix for file in files} == {".html", ".css", ".js"}
    with TestClient(create_app(text_predictor, ServerSettings())) as client:
        for path in ["/", *(f"/static/{file.name}" for file in files)]:
            response = client.get(path)
            assert response.status_code == 200
            policy = response.headers["Content-Security-Policy"]
            sources = {source for part in policy.split("; ") for source in part.split()[1:]}
            assert "default-src 'none'" in policy and sources == AT_HOME
            links = set(re.findall(r"https?://[\w.]+", response.text))
            assert links <= {"http://www.w3.org"}  # the name of SVG
        assert client.get("/static/../page.py").status_code == 404
        assert client.get("/static/%2e%2e/page.py").status_code == 404
