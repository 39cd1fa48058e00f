"""A model that was trained in int8 predicts with the very network that embedded its products."""

import shutil

import numpy as np
import pytest
from helpers.models import IMAGE_SIZE, LABELS, make_model, row_of
from helpers.onnx_files import convolutional

from serving import Predictor
from serving.export import export
from stages.common.errors import InputError
from stages.common.images import open_jpeg
from stages.encoders import onnx
from stages.encoders.backends import openvino
from stages.encoders.backends.base import Backend

ROWS = [row_of(label, 100 + i) for i, label in enumerate(LABELS)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    top = tmp_path_factory.mktemp("int8")
    path = convolutional(top / "model.onnx", IMAGE_SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "cache_folder", lambda: top / "cache")
        folder = make_model(
            top / "model", image={"kind": "onnx", "path": str(path)}, precision="int8"
        )
    path.unlink()
    shutil.rmtree(top / "weights")
    shutil.rmtree(top / "cache")
    return folder


def test_it_needs_no_other_weights_and_has_the_vectors_of_the_stage(model):
    predictor = Predictor.load(model)
    assert [one.label for one in predictor.predict(ROWS)] == LABELS
    settings = onnx.Settings.model_validate(predictor.file.encoders["colour"].settings)
    stage = onnx.load(settings, model / "encoders/colour", Backend("openvino", "int8"))
    wanted = stage.encode([open_jpeg(row["image"]) for row in ROWS])
    assert np.array_equal(predictor.embed(ROWS)["colour"], wanted)


def test_it_is_exported_as_it_is(model, tmp_path):
    export(model, tmp_path / "out")
    assert Predictor.load(tmp_path / "out").predict(ROWS) == Predictor.load(model).predict(ROWS)


def test_it_computes_in_int8_alone(model, model_folders):
    assert Predictor.load(model, precision="int8").predict(ROWS)
    for precision in ("float32", "bfloat16"):
        message = f"colour computes in int8, as it was trained, and not in {precision}: set"
        with pytest.raises(InputError, match=message):
            Predictor.load(model, precision=precision)
    with pytest.raises(InputError, match=r"colour computes in float32, .* and not in int8: set"):
        Predictor.load(model_folders["multimodal"], precision="int8")


def test_without_its_network_it_cannot_be_had(model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "model")
    shutil.rmtree(copy / "encoders")
    with pytest.raises(InputError, match="colour is not there, and a network in int8 is nowhere"):
        Predictor.load(copy)
