"""A model's folder is all that is needed, and what is wrong with one is said."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.models import row_of
from helpers.repository import TOP

import serving.weights
from serving import Predictor
from serving.export import export
from stages.common.errors import InputError
from stages.encoders.weights import obtain
from stages.fusion.model_file import ModelFile


@pytest.fixture
def copy(model_folders, tmp_path):
    """A copy of the model of image and text, to be damaged."""
    return Path(shutil.copytree(model_folders["multimodal"], tmp_path / "model"))


def edited(folder, change):
    """Change what model.json of a model says."""
    path = folder / "model.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))
    return folder


SCRIPT = """
import json, sys
opened = []
sys.addaudithook(lambda event, found: opened.append(str(found[0])) if event == "open" else None)
from serving import Predictor
predictor = Predictor.load(sys.argv[1])
found = predictor.predict([{"name": "Lamp 7", "description": "One of our lamps."}])[0]
print(json.dumps([found.label, found.probability, opened]))
"""


def run_alone(folder, place):
    """Predict in a process of its own that starts in another folder; return its answer."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_a_copy_predicts_in_an_empty_folder_and_reads_nothing_of_the_pipeline(
    copy, tmp_path, predictor
):
    place = tmp_path / "empty"
    place.mkdir()
    row = {"name": "Lamp 7", "description": "One of our lamps."}
    label, probability, opened = run_alone(copy, place)
    wanted = predictor.predict([row])[0]
    assert (label, probability) == (wanted.label, wanted.probability)
    of_pipeline = [str(TOP / name) for name in ("params.yaml", "data/", "metrics/", "dvc.")]
    assert [path for path in opened if path.startswith(tuple(of_pipeline))] == []
    assert [path for path in opened if path in ("params.yaml", "dvc.lock")] == []
    assert list(place.iterdir()) == []


def test_weights_that_the_folder_lacks_are_obtained_again_and_kept(copy, monkeypatch, predictor):
    monkeypatch.setattr(serving.weights, "cache_folder", lambda: copy.parent / "cache")
    shutil.rmtree(copy / "encoders")
    fetched = []
    real = obtain.obtain_weights
    monkeypatch.setattr(
        serving.weights,
        "obtain_weights",
        lambda *given: (fetched.append(given[0]), real(*given))[1],
    )
    # The encoder's settings say where its file is: beside the model that the copy was made of.
    rows = [row_of("Lamps", 5)]
    wanted = predictor.predict(rows)
    assert Predictor.load(copy).predict(rows) == wanted
    assert Predictor.load(copy).predict(rows) == wanted
    assert fetched == ["colour"]


def test_what_a_killed_program_left_of_other_weights_is_removed(copy, monkeypatch):
    monkeypatch.setattr(serving.weights, "cache_folder", lambda: copy.parent / "cache")
    shutil.rmtree(copy / "encoders")
    left = copy.parent / "cache/weights/.other.x1.part/other"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half of a network")
    Predictor.load(copy)
    assert not left.parent.exists()


def test_other_weights_are_refused(copy, monkeypatch):
    monkeypatch.setattr(serving.weights, "cache_folder", lambda: copy.parent / "cache")

    def other(content):
        content["encoders"]["colour"]["weights"]["sha256"] = "0" * 64

    edited(copy, other)
    with pytest.raises(
        InputError, match=r"weights of colour from .* and the model was trained with 0"
    ):
        Predictor.load(copy)
    shutil.rmtree(copy / "encoders" / "colour")
    with pytest.raises(
        InputError, match=r"weights of colour from .* and the model was trained with 0"
    ):
        Predictor.load(copy)


def test_damaged_weights_are_refused(copy):
    weights = copy / "encoders" / "colour" / "model.onnx"
    weights.write_bytes(weights.read_bytes()[:-8] + bytes(8))
    with pytest.raises(InputError, match="are not those of its manifest"):
        Predictor.load(copy)


def test_folders_that_a_desktop_has_opened_are_those_of_the_model(copy):
    for folder in (copy, copy / "fold-1", copy / "encoders", copy / "encoders" / "colour"):
        (folder / ".DS_Store").write_bytes(b"icons")
    assert Predictor.load(copy).predict([row_of("Lamps", 5)])[0].label == "Lamps"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere holds no model"):
        Predictor.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="file holds no model"):
        Predictor.load(tmp_path / "file")


def test_a_precision_that_is_none_is_refused(model_folders):
    with pytest.raises(InputError, match=r"precision is 'bf16': give one of auto, float32, bfl"):
        Predictor.load(model_folders["multimodal"], precision="bf16")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is no JSON"),
        (b"\xff\xfe{", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"{}", "describes no model that this version can load"),
        (b"[1, 2]", "describes no model that this version can load"),
        (b'{"format": 99}', "describes no model that this version can load"),
    ],
)
def test_a_damaged_model_file_is_refused(copy, content, complaint):
    (copy / "model.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"model\.json {complaint}"):
        Predictor.load(copy)


def test_what_lies_outside_the_model_s_folder_is_no_part_of_it(copy):
    shutil.copytree(copy / "fold-1", copy.parent / "outside")
    for place in ("../outside", str(copy.parent / "outside"), ".."):
        edited(copy, lambda content, place=place: content.update(folder=place))
        for use in (Predictor.load, lambda model: export(model, model.parent / "a" / "exported")):
            with pytest.raises(InputError, match=r"describes no model .* \(folder: String should"):
                use(copy)


def test_no_file_outside_the_model_s_folder_is_read_for_its_sum(copy):
    outside = copy.parent / "outside"
    outside.write_text("private")
    places = ["../outside", str(outside), "fold-1/../../outside", "a" * 300]
    edited(copy, lambda content: content.update(files=dict.fromkeys(places, "0" * 64)))
    assert Predictor.load(copy).predict([row_of("Lamps", 5)])[0].label == "Lamps"


@pytest.mark.parametrize("kind", ["keras.os", "no_such_kind", "../onnx", "", None, 7])
def test_an_encoder_of_an_unknown_kind_is_refused(copy, kind):
    edited(copy, lambda content: content["encoders"]["colour"]["settings"].update(kind=kind))
    with pytest.raises(InputError, match="describes no encoder colour"):
        Predictor.load(copy)


@pytest.mark.parametrize(
    "name",
    ["fusion.json", "preprocessing.safetensors", "both/model.skops", "text/model.skops"],
)
def test_a_part_that_is_missing_is_named_and_to_be_copied_anew(copy, name):
    ModelFile.load(copy).with_sums(copy).save(copy)  # as it is packaged
    (copy / "fold-1" / name).unlink()
    with pytest.raises(InputError, match=rf"fold-1/{name} is not there: copy the model anew"):
        Predictor.load(copy)


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_an_encoder_without_its_manifest_is_to_be_copied_anew(copy, content):
    manifest = copy / "encoders" / "colour" / "manifest.json"
    manifest.unlink()
    if content is not None:
        manifest.write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json is missing or damaged: copy the model"):
        Predictor.load(copy)


@pytest.mark.parametrize("name", ["preprocessing.safetensors", "both/model.skops"])
def test_a_part_that_is_damaged_is_named(copy, name):
    (copy / "fold-1" / name).write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=Path(name).name):
        Predictor.load(copy)


def test_the_arrays_of_another_model_are_refused(copy, model_folders):
    shutil.rmtree(copy / "fold-1")
    shutil.copytree(model_folders["text"] / "fold-1", copy / "fold-1")
    with pytest.raises(InputError, match="is of another model"):
        Predictor.load(copy)


def test_the_preprocessing_of_another_model_is_refused(copy, model_folders):
    other = model_folders["text"] / "fold-1" / "preprocessing.safetensors"
    shutil.copy(other, copy / "fold-1" / "preprocessing.safetensors")
    with pytest.raises(InputError, match="fold-1 is of another model: copy the model anew"):
        Predictor.load(copy)


def test_neighbours_are_not_needed_but_must_be_of_the_model(copy, model_folders):
    shutil.copy(model_folders["text"] / "neighbors.parquet", copy / "neighbors.parquet")
    with pytest.raises(InputError, match="is no index of this model"):
        Predictor.load(copy)
    (copy / "neighbors.parquet").unlink()
    predictor = Predictor.load(copy)
    assert predictor.predict([row_of("Lamps")], neighbors=5)[0].neighbors == []
