"""Backends: what auto stands for, and what is said to pairs that do not exist."""

from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.encoders import hashed_ngrams, huggingface_image, huggingface_text, keras, onnx
from stages.encoders.backends import openvino, selection
from stages.encoders.backends.base import Backend
from stages.encoders.backends.selection import select_backend

SETTINGS = {
    "hashed_ngrams": hashed_ngrams.Settings(kind="hashed_ngrams"),
    "huggingface_image": huggingface_image.Settings(kind="huggingface_image", model="m"),
    "huggingface_text": huggingface_text.Settings(kind="huggingface_text", model="m"),
    "keras": keras.Settings(kind="keras", model="ResNet50"),
    "onnx": onnx.Settings(kind="onnx", path=Path("model.onnx")),
}


@pytest.fixture(autouse=True)
def processor(monkeypatch):
    """A machine without a GPU, whose processor has bfloat16: the two answers, to be changed."""
    answers = {"device": "cpu", "bfloat16": True}
    monkeypatch.setattr(selection, "torch_device", lambda: answers["device"])
    monkeypatch.setattr(openvino, "has_bfloat16", lambda: answers["bfloat16"])
    return answers


@pytest.mark.parametrize("kind", ["keras", "huggingface_image", "huggingface_text", "onnx"])
def test_on_a_processor_auto_is_openvino(kind, processor):
    assert select_backend(SETTINGS[kind], "auto", "auto") == Backend("openvino", "bfloat16", "cpu")
    assert select_backend(SETTINGS[kind], "auto", "float32") == Backend(
        "openvino", "float32", "cpu"
    )
    processor["bfloat16"] = False
    assert select_backend(SETTINGS[kind], "auto", "auto") == Backend("openvino", "float32", "cpu")
    with pytest.raises(InputError, match="bfloat16 is not to be had with openvino on this cpu"):
        select_backend(SETTINGS[kind], "auto", "bfloat16")


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("keras", Backend("torch", "float32", "cuda")),
        ("huggingface_text", Backend("torch", "float32", "cuda")),
        ("onnx", Backend("openvino", "float32", "cpu")),
    ],
)
def test_on_a_gpu_auto_is_pytorch(kind, found, processor):
    processor["device"] = "cuda"
    assert select_backend(SETTINGS[kind], "auto", "float32") == found
    assert select_backend(SETTINGS[kind], "openvino", "float32") == Backend(
        "openvino", "float32", "cpu"
    )


@pytest.mark.parametrize("kind", ["keras", "huggingface_image", "huggingface_text", "onnx"])
def test_int8_is_openvino_s_and_never_auto_s(kind, processor):
    found = Backend("openvino", "int8", "cpu")
    assert select_backend(SETTINGS[kind], "auto", "int8") == found
    assert select_backend(SETTINGS[kind], "openvino", "int8") == found
    for has_bfloat16 in (True, False):
        processor["bfloat16"] = has_bfloat16
        assert select_backend(SETTINGS[kind], "auto", "auto").precision != "int8"
    processor["device"] = "cuda"
    assert select_backend(SETTINGS[kind], "openvino", "int8") == found


def test_int8_of_another_backend_is_refused(processor):
    with pytest.raises(InputError, match="int8 is for openvino alone, and torch was to run the"):
        select_backend(SETTINGS["huggingface_text"], "torch", "int8")
    processor["device"] = "cuda"
    with pytest.raises(InputError, match=r"and torch was to .*: set `backend: openvino`"):
        select_backend(SETTINGS["keras"], "auto", "int8")


def test_a_framework_on_a_processor_is_a_reference_in_float32():
    assert select_backend(SETTINGS["keras"], "tensorflow", "auto") == Backend(
        "tensorflow", "float32", "cpu"
    )
    for kind in ("keras", "huggingface_text"):
        found = select_backend(SETTINGS[kind], "torch", "auto")
        assert found == Backend("torch", "float32", "cpu")
    with pytest.raises(InputError, match="with torch on this cpu: set it to auto or float32"):
        select_backend(SETTINGS["huggingface_text"], "torch", "bfloat16")


@pytest.mark.parametrize(
    ("kind", "name", "fit"),
    [
        ("onnx", "tensorflow", "auto or openvino"),
        ("huggingface_image", "tensorflow", "auto, openvino or torch"),
    ],
)
def test_a_pair_that_does_not_exist_is_refused(kind, name, fit):
    with pytest.raises(InputError, match=rf"backend: {name} runs no .* {kind}: set it to {fit}$"):
        select_backend(SETTINGS[kind], name, "auto")


@pytest.mark.parametrize("name", ["auto", "openvino", "torch", "tensorflow"])
def test_an_encoder_without_a_network_is_computed_the_same_everywhere(name, processor):
    processor["device"] = "cuda"
    for precision in ("auto", "float32", "bfloat16", "int8"):
        found = select_backend(SETTINGS["hashed_ngrams"], name, precision)
        assert found == Backend("scikit-learn", "float32", "cpu")
