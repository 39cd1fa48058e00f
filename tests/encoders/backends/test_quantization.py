"""A network in int8 gives almost float32's vectors, the same bytes each time, or is refused."""

import re
import sys

import numpy as np
import pytest
from helpers.onnx_files import convolutional

from stages.common.errors import InputError
from stages.common.openvino import import_openvino
from stages.encoders import onnx
from stages.encoders.backends import quantization
from stages.encoders.backends.quantization import check_cosines, quantized


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    settings = onnx.Settings(kind="onnx", path=convolutional(folder / "model.onnx"))
    return onnx.convert(settings, folder)[0]


@pytest.fixture(scope="module")
def rows():
    """What the network takes of 60 coarse images in all colours."""
    coarse = np.random.default_rng(0).integers(0, 256, (60, 1, 4, 4, 3), dtype=np.uint8)
    return [(image.repeat(8, axis=1).repeat(8, axis=2),) for image in coarse]


def saved(model, folder):
    folder.mkdir()
    import_openvino().save_model(model, folder / "model.xml", compress_to_fp16=False)
    return [(folder / name).read_bytes() for name in ("model.xml", "model.bin")]


def test_it_is_smaller_and_almost_the_same(network, rows, tmp_path, capsys):
    found = quantized(network, rows[:40])
    figures = check_cosines("colours", network, found, rows[40:])
    mean, least = map(float, re.findall(r"is (\S+) on average and (\S+) at least", figures)[0])
    assert 0.98 < mean < 1
    assert least <= mean
    exact, rounded = saved(network, tmp_path / "exact"), saved(found, tmp_path / "rounded")
    assert len(rounded[1]) < 0.5 * len(exact[1])
    assert capsys.readouterr().out == ""


def test_it_is_the_same_each_time_whatever_was_done_before(network, rows, tmp_path):
    first = saved(quantized(network, rows), tmp_path / "first")
    quantized(network, rows[:3])
    assert saved(quantized(network, rows), tmp_path / "second") == first
    assert saved(quantized(network, rows[:3]), tmp_path / "other") != first


def test_one_that_goes_astray_is_refused_with_figures(network, rows):
    dark = [(np.zeros_like(rows[0][0]),)] * 3
    with pytest.raises(InputError) as raised:
        check_cosines("colours", network, quantized(network, dark), rows)
    assert re.search(
        r"colours goes astray in int8: on 60 inputs .* -?\d\.\d{4} on average and -?\d\.\d{4} at "
        r"least, and 0\.98 on average is the limit: set precision to float32 or auto",
        str(raised.value),
    )


def test_vectors_that_are_all_the_same_say_nothing_and_are_refused(network, rows):
    with pytest.raises(InputError, match="goes astray"):
        check_cosines("colours", network, network, rows[:1] * 3)


def test_without_nncf_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(InputError, match=r"needs the package nncf: install requirements\.txt"):
        quantization.import_nncf()
