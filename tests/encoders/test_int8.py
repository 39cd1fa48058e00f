"""Networks in int8: made of a sample that the catalogue and the seed choose, and kept."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.onnx_files import convolutional

from stages.catalog.settings import DemoSettings
from stages.catalog.sources import demo
from stages.common import paths
from stages.common.errors import InputError
from stages.common.images import resize
from stages.encoders import huggingface_text, int8, onnx
from stages.encoders.backends import openvino
from stages.encoders.backends.base import Backend
from stages.encoders.backends.openvino import MODEL_FILE
from stages.encoders.int8 import MAX_INPUTS, draw_sample, weights_to_run
from stages.encoders.settings import ImageEncoderSettings
from stages.encoders.weights.manifest import is_intact, read_manifest, write_manifest
from stages.params import load_params

HASHES = [hashlib.sha256(bytes([i])).hexdigest() for i in range(60)]


def coarse_image(sha256):
    """An image in colours that its hash gives."""
    colours = np.frombuffer(bytes.fromhex(sha256) * 2, dtype=np.uint8)[:48].reshape(4, 4, 3)
    return resize(colours, 32, 32)


def read(hashes):
    return [coarse_image(sha256) for sha256 in hashes]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """The settings of an encoder whose weights lie where the stages put them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(openvino, "cache_folder", lambda: Path(".cache"))
    settings = onnx.Settings(kind="onnx", path=convolutional(tmp_path / "model.onnx"))
    paths.weights("colours").mkdir(parents=True)
    fetched = onnx.fetch(settings, paths.weights("colours"))
    write_manifest(paths.weights("colours"), fetched, settings.weights_request())
    return settings


def to_run(settings, precision="int8", seed=42, hashes=HASHES, read=read):
    return weights_to_run("colours", settings, "openvino", precision, seed, hashes, read)


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_sample_depends_on_the_inputs_and_the_seed_alone():
    many = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(1000)]
    sample = draw_sample(many, 42)
    assert len(set(sample)) == len(sample) == MAX_INPUTS
    assert draw_sample([*reversed(many), *many[:500]], 42) == sample
    assert 100 < len(set(sample) & set(draw_sample(many, 43))) < 250
    assert sorted(draw_sample(many[:7], 42)) == sorted(many[:7])


def test_the_network_has_almost_the_vectors_of_float32(settings, capsys):
    network = to_run(settings)
    assert network == paths.network("colours")
    assert "colours in int8: on 15 inputs that it was not" in capsys.readouterr().out
    folders = {"float32": paths.weights("colours"), "int8": network}
    exact, found = (
        onnx.load(settings, folder, Backend("openvino", precision)).encode(read(HASHES))
        for precision, folder in folders.items()
    )
    assert not np.array_equal(found, exact)
    assert np.linalg.norm(found - exact) < 0.05 * np.linalg.norm(exact)


def test_its_manifest_names_its_weights_and_the_sample(settings):
    network = to_run(settings)
    found, weights = read_manifest(network), read_manifest(paths.weights("colours"))
    assert is_intact(network, found)
    assert (found.kind, found.revision) == (weights.kind, weights.revision)
    assert found.origin.startswith(f"{weights.origin}, in int8 by sample ")
    assert found.sha256 != weights.sha256
    made_with = found.request["int8"]
    assert (made_with["weights"], made_with["inputs"]) == (weights.sha256, 45)
    other = read_manifest(to_run(settings, seed=1))
    assert other.request["int8"]["sample"] != made_with["sample"]
    assert other.sha256 != found.sha256


def test_the_same_catalogue_gives_the_same_bytes(settings, monkeypatch):
    first = contents(to_run(settings))
    shutil.rmtree(".cache")
    assert contents(to_run(settings, hashes=[*reversed(HASHES), *HASHES[:9]])) == first
    monkeypatch.setattr(int8, "quantized", lambda *_: pytest.fail("it is kept"))
    shutil.rmtree(paths.NETWORKS)
    assert contents(to_run(settings)) == first


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_other_precisions_leave_the_folder_of_networks_empty(settings, precision):
    to_run(settings)
    assert to_run(settings, precision) == paths.weights("colours")
    assert contents(paths.network("colours")) == {}


def test_a_catalogue_without_inputs_needs_no_network(settings):
    assert to_run(settings, hashes=[]) == paths.weights("colours")
    assert contents(paths.network("colours")) == {}


def test_too_few_inputs_are_refused(settings):
    message = "takes 20 different inputs to quantise colours .* catalogue has 19: set precision to"
    with pytest.raises(InputError, match=message):
        to_run(settings, hashes=HASHES[:19] * 9)
    assert not paths.network("colours").exists()


def test_one_that_goes_astray_is_refused_and_not_kept(settings):
    calibration = set(draw_sample(HASHES, 42)[:45])

    def dark_or_not(hashes):
        white = np.full((32, 32, 3), (1, 2, 3), dtype=np.uint8)
        return [white if one in calibration else coarse_image(one) for one in hashes]

    with pytest.raises(InputError, match=r"colours goes astray in int8: .* on average and"):
        to_run(settings, read=dark_or_not)
    assert not paths.network("colours").exists()
    assert not list(Path(".cache/networks").glob("[!.]*"))


def test_a_kind_that_is_no_network_of_openvino_is_refused(settings, monkeypatch):
    monkeypatch.setattr(int8, "module_of", lambda kind: object())
    mine = ImageEncoderSettings.model_construct(kind="mine")
    with pytest.raises(InputError, match="kind mine has no int8: set precision to auto"):
        to_run(mine)


def test_a_trained_network_stays_near_float32(tmp_path, monkeypatch, capsys):
    settings = load_params().encoders["minilm"]
    monkeypatch.chdir(tmp_path)
    weights = paths.weights("minilm")
    weights.mkdir(parents=True)
    write_manifest(weights, huggingface_text.fetch(settings, weights), settings.weights_request())
    names = (product.name for product in demo.read(DemoSettings(products=1000), seed=1))
    texts = dict(zip(HASHES, sorted(set(filter(None, names)))[::10], strict=False))
    network = weights_to_run(
        "minilm",
        settings,
        "openvino",
        "int8",
        42,
        HASHES,
        lambda some: [texts[one] for one in some],
    )
    assert json.loads((network / "manifest.json").read_bytes())["request"]["int8"]["inputs"] == 45
    assert (network / MODEL_FILE).is_file()
    assert "minilm in int8: on 15 inputs" in capsys.readouterr().out
