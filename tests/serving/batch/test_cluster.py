"""Machines of a cluster that would answer differently do not predict for one table."""

import json

import pytest
from helpers.models import make_model

from serving.batch import cluster
from stages.common.errors import InputError
from stages.compute.loader import Loader
from stages.encoders.backends import selection
from stages.encoders.backends.openvino import MODEL_FILE
from stages.fusion.model_file import ENCODERS, FILE


@pytest.fixture
def on_gpu(monkeypatch):
    """Let this machine have a GPU; the function that is given names its model."""

    def have(name):
        monkeypatch.setattr(selection, "torch_device", lambda: "cuda")
        monkeypatch.setattr("torch.cuda.get_device_name", lambda: name)

    return have


@pytest.mark.parametrize("is_exported", [False, True])
def test_another_model_of_gpu_stops_what_a_gpu_computes(tmp_path, on_gpu, is_exported):
    model = make_model(tmp_path / "model")
    content = json.loads((model / FILE).read_text())
    content["encoders"]["colour"]["settings"] = {"kind": "keras", "model": "ResNet50"}
    (model / FILE).write_text(json.dumps(content))
    if is_exported:
        (model / ENCODERS / "colour" / MODEL_FILE).touch()

    def key_here():
        return cluster._key_here(model)

    on_gpu("H100")
    loader = Loader(lambda: "the model", key_here(), key_here)
    on_gpu("T4")
    if is_exported:
        assert loader.get() == "the model"
        return
    with pytest.raises(InputError, match="they differ in processors or GPUs"):
        loader.get()
