"""An exported model gives the same answers without TensorFlow, PyTorch or Transformers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.models import LABELS, make_model, row_of
from helpers.repository import TOP
from helpers.text_networks import SPECIAL, word_tokenizer, write_onnx_text_network

from serving import Predictor
from serving.export import export
from stages.common import paths
from stages.common.errors import InputError
from stages.encoders.backends import openvino

SCRIPT = """
import json, sys
from helpers.models import LABELS, row_of
for name in ("tensorflow", "torch", "transformers", "keras"):
    assert name not in sys.modules, name
from serving import Predictor
predictor = Predictor.load(sys.argv[1])
found = predictor.predict([row_of(label, 9) for label in LABELS])
heavy = [name for name in ("tensorflow", "torch", "transformers", "keras") if name in sys.modules]
print(json.dumps([[one.label for one in found], [one.probability for one in found], heavy]))
"""


def predicted_alone(folder, place):
    """Predict in a process of its own: labels, probabilities, the frameworks that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": f"{TOP}:{TOP / 'tests'}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def of_pytorch(tmp_path_factory):
    """A model whose image network PyTorch and Transformers load."""
    import torch
    from transformers import AutoModel, ConvNextImageProcessorPil, ConvNextV2Config

    top = tmp_path_factory.mktemp("pytorch")
    torch.manual_seed(1)
    config = ConvNextV2Config(depths=[1, 1, 2, 1], hidden_sizes=[8, 16, 24, 40])
    AutoModel.from_config(config).save_pretrained(top / "network")
    ConvNextImageProcessorPil(size={"shortest_edge": 64}).save_pretrained(top / "network")
    settings = {"kind": "huggingface_image", "model": "tiny", "path": str(top / "network")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "cache_folder", lambda: top / "cache")
        yield make_model(top / "model", image=settings)


def test_a_model_that_was_not_exported_says_which_package_it_lacks(
    of_pytorch, tmp_path, monkeypatch
):
    monkeypatch.setattr(openvino, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "transformers", None)  # requirements_serving.txt lacks it
    with pytest.raises(InputError, match=r"colour needs the package transformers.*serving\.export"):
        Predictor.load(of_pytorch)


def test_it_needs_none_of_the_frameworks_and_gives_the_same_answers(of_pytorch, tmp_path):
    export(of_pytorch, tmp_path / "out")
    found = Predictor.load(of_pytorch).predict([row_of(label, 9) for label in LABELS])
    shutil.rmtree(of_pytorch / "encoders" / "colour")
    (tmp_path / "empty").mkdir()
    labels, probabilities, heavy = predicted_alone(tmp_path / "out", tmp_path / "empty")
    assert labels == [one.label for one in found]
    assert probabilities == [one.probability for one in found]
    assert heavy == []
    assert list((tmp_path / "empty").iterdir()) == []
    names = {file.name for file in (tmp_path / "out/encoders/colour").iterdir()}
    assert names == {"image.json", "manifest.json", "model.bin", "model.xml"}


def test_a_text_network_in_an_onnx_file_goes_with_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr(openvino, "cache_folder", lambda: tmp_path / "cache")
    rows = [row_of(label, 9) for label in LABELS]
    words = [word for label in LABELS for word in (label[:-1], label.lower())]
    files = {"path": tmp_path / "mine.onnx", "tokenizer": tmp_path / "tokenizer.json"}
    write_onnx_text_network(files["path"], len(SPECIAL) + len(words))
    word_tokenizer(words).save(str(files["tokenizer"]))
    paths = {name: str(file) for name, file in files.items()}
    model = make_model(tmp_path / "model", "text", text={"kind": "onnx_text", **paths})
    for file in files.values():
        file.unlink()
    found = Predictor.load(model).predict(rows)
    assert [one.label for one in found] == LABELS
    export(model, tmp_path / "out")
    shutil.rmtree(model)
    names = {file.name for file in (tmp_path / "out/encoders/ngrams").iterdir()}
    assert names == {"manifest.json", "model.bin", "model.xml", "tokenizer.json"}
    assert Predictor.load(tmp_path / "out").predict(rows) == found


def test_a_model_without_networks_of_frameworks_is_exported_as_it_is(model_folders, tmp_path):
    source = model_folders["multimodal"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.DS_Store").write_bytes(b"left by a desktop")
    export(source, tmp_path / "out")
    assert not (tmp_path / "out/.DS_Store").exists()
    rows = [row_of(label, 3) for label in LABELS]
    copy, first = Predictor.load(tmp_path / "out"), Predictor.load(source)
    assert copy.predict(rows, neighbors=2) == first.predict(rows, neighbors=2)
    export(source, tmp_path / "out")  # over an older one
    assert Predictor.load(tmp_path / "out").predict(rows) == first.predict(rows)


def test_a_link_to_a_folder_stays_and_the_folder_has_the_model(model_folders, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "exported").symlink_to("disk")
    for _ in range(2):  # also over an older one
        export(model_folders["text"], tmp_path / "exported")
        assert (tmp_path / "exported").is_symlink()
        assert (tmp_path / "disk/model.json").is_file()


def test_a_model_that_is_read_only_gives_folders_that_can_be_removed(model_folders, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(model_folders["text"], model)
    places = [model, *model.rglob("*")]
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    for _ in range(2):  # also over an older one
        export(model, tmp_path / "exported")
    for place in places:
        place.chmod(0o755)
    assert sorted(place.name for place in tmp_path.iterdir()) == ["exported", "model"]
    written = [tmp_path / "exported", *(tmp_path / "exported").rglob("*")]
    assert all(place.stat().st_mode & 0o200 for place in written)
    rows = [row_of(label, 3) for label in LABELS]
    expected = Predictor.load(model_folders["text"]).predict(rows)
    assert Predictor.load(tmp_path / "exported").predict(rows) == expected


def test_an_exported_model_is_exported_again(model_folders, tmp_path):
    export(model_folders["multimodal"], tmp_path / "first")
    export(tmp_path / "first", tmp_path / "second")
    assert [place.name for place in (tmp_path / "second/encoders").iterdir()] == ["colour"]
    (tmp_path / "first/encoders/ngrams").mkdir()  # as an export left one once
    export(tmp_path / "first", tmp_path / "third")
    rows = [row_of(label, 3) for label in LABELS]
    found = [Predictor.load(tmp_path / name).predict(rows) for name in ("first", "second", "third")]
    assert found[0] == found[1] == found[2]


def test_a_damaged_network_is_refused(model_folders, tmp_path):
    export(model_folders["multimodal"], tmp_path / "out")
    folder = tmp_path / "out/encoders/colour"
    (folder / "model.xml").write_text("<net/>")
    with pytest.raises(InputError, match="are not those of its manifest"):
        Predictor.load(tmp_path / "out")
    with pytest.raises(InputError, match="holds no network that OpenVINO reads"):
        openvino.network_of(folder, lambda: "key", lambda place: None)


def test_a_damaged_file_is_refused(model_folders, tmp_path):
    export(model_folders["multimodal"], tmp_path / "out")
    arrays = tmp_path / "out/fold-1/preprocessing.safetensors"
    whole = arrays.read_bytes()
    arrays.write_bytes(whole[: len(whole) // 2].ljust(len(whole), b"\0"))
    for use in (Predictor.load, lambda model: export(model, tmp_path / "again")):
        with pytest.raises(
            InputError, match=r"preprocessing\.safetensors is not the file that was"
        ):
            use(tmp_path / "out")
    assert not (tmp_path / "again").exists()


def test_a_model_that_was_copied_in_part_is_not_exported(model_folders, tmp_path):
    partial = tmp_path / "partial"
    export(model_folders["multimodal"], partial)
    (partial / "fold-1/text/model.skops").unlink()
    with pytest.raises(InputError, match=r"text/model\.skops is not there: copy the model anew"):
        export(partial, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over_but_a_model(model_folders, tmp_path):
    (tmp_path / "notes.txt").write_text("keep me")
    with pytest.raises(InputError, match="has files and is no model"):
        export(model_folders["text"], tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(InputError, match="is in the model"):
        export(model_folders["text"], model_folders["text"] / "exported")
    with pytest.raises(InputError, match="holds no model"):
        export(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_is_not_replaced_by_what_it_holds(model_folders, tmp_path):
    outer = shutil.copytree(model_folders["text"], tmp_path / "outer")
    inner = shutil.copytree(model_folders["text"], outer / "inner")
    with pytest.raises(InputError, match=r"is in .*outer: name another folder"):
        export(inner, outer)
    assert (inner / "model.json").is_file()


def test_the_working_folder_is_not_replaced(model_folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^\. is where you are"):
        export(model_folders["text"], Path())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [
        ["export", "folder"],
        ["predict", "new.csv", "--output", "out.csv"],
        ["server", "--port", "0"],
    ],
    ids=lambda command: command[0],
)
def test_each_command_takes_the_model_that_the_pipeline_packages(command, tmp_path):
    (tmp_path / "new.csv").write_text("name\nA lamp\n")
    done = subprocess.run(
        [sys.executable, "-m", f"serving.{command[0]}", *command[1:]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert f"error: {paths.BEST_MODEL} holds no model" in done.stderr
