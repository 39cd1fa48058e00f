"""ONNX files: the two layouts are computed right, and what does not fit is refused."""

import numpy as np
import pytest
from helpers import onnx_files
from helpers.onnx_files import FLOAT, WEIGHTS, message, model, node, of_bytes
from helpers.repository import SHARED
from pydantic import ValidationError

from stages.common.errors import InputError
from stages.common.files import sha256_of
from stages.common.images import resize
from stages.common.openvino import import_openvino
from stages.encoders import onnx
from stages.encoders.backends.base import Backend
from stages.encoders.onnx import Settings as OnnxSettings

MOBILENET = SHARED / "models" / "mobilenet_v2_imagenet.onnx"
FLOAT32 = Backend("openvino", "float32")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def of_reals(path, shape=("batch", 3, 8, 6)):
    """A network of numbers: the mean of each row of pixels in each colour."""
    nodes = [
        node("ReduceMean", ["x"], "rows", axes=[3], keepdims=0),
        node("Flatten", ["rows"], "vector", axis=1),
    ]
    return model(path, nodes, [("x", FLOAT, shape)])


def settings_for(path, **changes):
    return OnnxSettings(kind="onnx", path=path, **changes)


def fetched(folder, settings):
    """Fetch a file and load what was fetched."""
    folder.mkdir()
    onnx.fetch(settings, folder)
    return onnx.load(settings, folder, FLOAT32)


def encoded(encoder, images):
    rows = encoder.encode(images)
    assert rows.dtype == np.float32
    assert rows.shape == (len(images), encoder.n_features)
    return rows


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        (("batch", 224, 224, 3), (1, 2)),
        (("batch", "height", "width", 3), (1, 2)),
        ((1, 224, 224, 3), (1, 2)),
        (("batch", 3, 224, 224), (2, 3)),
    ],
)
def test_a_network_of_bytes_gets_the_image_s_own(tmp_path, images, shape, axes):
    settings = settings_for(of_bytes(tmp_path / "bytes.onnx", shape, axes))
    found = encoded(fetched(tmp_path / "weights", settings), images)
    colours = np.stack([np.asarray(image).mean(axis=(0, 1)) for image in images])
    assert np.allclose(found, colours @ WEIGHTS, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [("batch", 3, 8, 6), ("batch", 8, 6, 3)])
def test_a_network_of_numbers_gets_them_resized_and_normalised(tmp_path, images, shape):
    if shape[1] == 3:
        file = of_reals(tmp_path / "reals.onnx", shape)
    else:
        nodes = [
            node("Transpose", ["x"], "turned", perm=[0, 3, 1, 2]),
            node("ReduceMean", ["turned"], "rows", axes=[3], keepdims=0),
            node("Flatten", ["rows"], "vector", axis=1),
        ]
        file = model(tmp_path / "reals.onnx", nodes, [("x", FLOAT, shape)])
    settings = settings_for(file, mean=MEAN, std=STD)
    found = encoded(fetched(tmp_path / "weights", settings), images)
    small = np.stack([resize(image, 6, 8) for image in images])
    normalised = (small / 255 - MEAN) / STD
    assert found.shape[1] == 3 * 8
    rows = normalised.mean(axis=2).transpose(0, 2, 1).reshape(len(images), -1)
    assert np.allclose(found, rows, rtol=1e-4, atol=1e-4)


def test_the_manifest_and_the_hash(tmp_path):
    file = of_bytes(tmp_path / "bytes.onnx")
    manifest = onnx.fetch(settings_for(file, sha256=sha256_of(file)), tmp_path)
    assert (manifest.kind, manifest.revision) == ("pretrained", None)
    assert (manifest.origin, manifest.sha256) == (str(file), sha256_of(file))
    assert (tmp_path / onnx.WEIGHTS_FILE).read_bytes() == file.read_bytes()
    with pytest.raises(InputError, match="do not use them"):
        onnx.fetch(settings_for(file, sha256="0" * 64), tmp_path)
    with pytest.raises(InputError, match=r"none\.onnx is not there"):
        onnx.fetch(settings_for(tmp_path / "none.onnx"), tmp_path)


@pytest.mark.parametrize("content", [b"", b"no network at all", bytes(range(256)) * 9])
def test_a_file_that_is_no_onnx_is_refused(tmp_path, content):
    (tmp_path / "text.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"text\.onnx is no ONNX file that can be read: \S"):
        fetched(tmp_path / "weights", settings_for(tmp_path / "text.onnx"))


def test_a_file_whose_weights_are_in_another_says_how_to_export_it(tmp_path, monkeypatch):
    def external(name, values):
        place = [("location", "mine.onnx.data"), ("length", str(values.nbytes))]
        entries = [(13, message((1, key), (2, value))) for key, value in place]
        dims = [(1, size) for size in values.shape]
        return message(*dims, (2, FLOAT), (8, name), *entries, (14, 1))

    monkeypatch.setattr(onnx_files, "tensor", external)  # as PyTorch exports by default
    file = of_bytes(tmp_path / "mine.onnx")
    (tmp_path / "mine.onnx.data").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(InputError, match=r"mine\.onnx keeps its weights in another file: export"):
        fetched(tmp_path / "weights", settings_for(file))


def test_half_a_file_is_refused(tmp_path):
    whole = of_bytes(tmp_path / "whole.onnx").read_bytes()
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"half\.onnx"):
        fetched(tmp_path / "weights", settings_for(tmp_path / "half.onnx"))


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ([("x", FLOAT, ("batch", 12))], "must take one batch of images"),
        ([("x", FLOAT, ("batch", 4, 8, 8))], "neither axis 1 nor 3 is of 3 colours"),
        ([("x", FLOAT, ("a", "b", "c", "d"))], "neither axis 1 nor 3 is of 3 colours"),
        ([("x", FLOAT, (1, 3, 8, 8)), ("y", FLOAT, (1, 3, 8, 8))], "must take one batch"),
        ([("x", FLOAT, None)], "must take one batch of images"),
    ],
)
def test_a_network_that_takes_no_images_is_refused(tmp_path, inputs, complaint):
    nodes = [node("Flatten", ["x"], "flat", axis=1), node("Add", ["flat", "flat"], "vector")]
    if len(inputs) == 2:
        nodes = [node("Add", ["x", "y"], "both"), node("Flatten", ["both"], "vector", axis=1)]
    file = model(tmp_path / "other.onnx", nodes, inputs)
    with pytest.raises(InputError, match=rf"other\.onnx takes .*{complaint}"):
        fetched(tmp_path / "weights", settings_for(file, mean=MEAN, std=STD))


def test_a_network_that_gives_no_vector_is_refused(tmp_path):
    inputs = [("x", FLOAT, ("batch", 3, 8, 8))]
    mean = node("ReduceMean", ["x"], "vector", axes=[2, 3], keepdims=1)
    file = model(tmp_path / "maps.onnx", [mean], inputs)
    with pytest.raises(InputError, match=r"maps\.onnx gives \['\[1,3,1,1\]'\]"):
        fetched(tmp_path / "maps", settings_for(file, mean=MEAN, std=STD))
    of_any_rank = [node("NonZero", ["x"], "a"), node("Squeeze", ["a"], "vector")]
    file = model(tmp_path / "any.onnx", of_any_rank, inputs)
    with pytest.raises(InputError, match=r"any\.onnx gives \['\[\.\.\.\]'\]: it must give one"):
        fetched(tmp_path / "any", settings_for(file, mean=MEAN, std=STD))
    two = [node("Flatten", ["x"], name, axis=1) for name in ("vector", "other")]
    file = model(tmp_path / "two.onnx", two, inputs, outputs=("vector", "other"))
    with pytest.raises(InputError, match=r"two\.onnx gives .*must give one vector"):
        fetched(tmp_path / "two", settings_for(file, mean=MEAN, std=STD))


def test_a_network_of_a_fixed_batch_is_refused(tmp_path):
    nodes = [
        node("ReduceMean", ["x"], "colour", axes=[2, 3], keepdims=0),
        node("Reshape", ["colour", "two"], "vector"),
    ]
    constants = {"two": np.array([2, 3], dtype=np.int64)}
    file = model(tmp_path / "two.onnx", nodes, [("x", FLOAT, (2, 3, 8, 8))], constants)
    with pytest.raises(InputError, match=r"two\.onnx does not take images one by one"):
        fetched(tmp_path / "weights", settings_for(file, mean=MEAN, std=STD))


@pytest.mark.parametrize("changes", [{}, {"mean": MEAN}, {"std": STD}])
def test_numbers_need_mean_and_std(tmp_path, changes):
    file = of_reals(tmp_path / "reals.onnx")
    with pytest.raises(InputError, match=r"reals\.onnx takes f32: give the encoder `mean` and"):
        fetched(tmp_path / "weights", settings_for(file, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": (123.675, 116.28, 103.53), "std": STD},
        {"mean": MEAN, "std": (58.395, 57.12, 57.375)},
        {"mean": MEAN, "std": (0.0, 0.0, 0.0)},
        {"mean": (-1, 0, 0), "std": STD},
    ],
)
def test_mean_and_std_are_of_colours_from_0_to_1(tmp_path, changes):
    with pytest.raises(ValidationError, match=r"(?:mean|std).*\n.* (?:less|greater) than"):
        settings_for(tmp_path / "reals.onnx", **changes)


@pytest.mark.parametrize("changes", [{"mean": MEAN, "std": STD}, {"mean": MEAN}, {"std": STD}])
def test_bytes_need_neither_mean_nor_std(tmp_path, changes):
    file = of_bytes(tmp_path / "bytes.onnx")
    with pytest.raises(InputError, match=r"bytes\.onnx takes u8: leave `mean` and `std` out"):
        fetched(tmp_path / "weights", settings_for(file, **changes))


def test_a_real_network_is_openvino_s_own_run_of_it(tmp_path, images):
    if not MOBILENET.is_file():
        pytest.skip(f"no network at {MOBILENET}")
    encoder = fetched(tmp_path / "weights", settings_for(MOBILENET))
    assert encoder.n_features == 1280
    found = encoded(encoder, images)
    core = import_openvino().Core()
    whole = core.compile_model(MOBILENET, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    reference = whole([np.stack([np.asarray(image) for image in images])])[0]
    assert np.allclose(found, reference, rtol=1e-3, atol=1e-4)
    assert np.array_equal(encoded(encoder, images[::-1]), found[::-1])
    turned = images[0][..., ::-1].copy()
    assert not np.allclose(encoded(encoder, [turned])[0], found[0], rtol=1e-2)
