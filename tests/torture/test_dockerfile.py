"""The Dockerfile's steps, packages and all: what they leave serves a model."""

import json
import signal
import socket
import time
import urllib.request

import pytest
from helpers.dockerfile import Image, command, stages
from helpers.models import LABELS, make_model


@pytest.mark.parametrize("modality", ["multimodal", "text"])
def test_the_image_serves_a_model(tmp_path_factory, image, modality):
    model = make_model(tmp_path_factory.mktemp("model") / "model", modality)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    *_, final = stages()
    options = {"PRODUCT_CLASSIFIER_MODEL": str(model), "PRODUCT_CLASSIFIER_PORT": port}
    server = image.run(command(final.of("CMD")[0]), **options)
    try:
        until = time.monotonic() + 60
        while not is_well(image, final, options):
            assert server.poll() is None and time.monotonic() < until, server.stdout.read()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/predict",
            json.dumps({"products": [{"name": f"{label[:-1]} 9"} for label in LABELS]}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            found = json.load(response)["predictions"]
        assert [one["label"] for one in found] == LABELS
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
            assert b"Product classifier" in response.read()
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return Image(tmp_path_factory.mktemp("image"), install=True)


def is_well(image, final, options) -> bool:
    check = image.run(command(final.of("HEALTHCHECK")[0]), **options)
    check.communicate(timeout=60)
    return check.returncode == 0
