"""What params.yaml no longer names goes; what no stage has written stays, and is named."""

from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.common.weights_aside import take_back
from stages.fusion.orphans import (
    remove_unnamed_models,
    remove_unnamed_networks,
    set_aside_unnamed_weights,
)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    for name in ("svm", "mlp"):
        (tmp_path / name / "text").mkdir(parents=True)
        (tmp_path / name / "text/probabilities.parquet").touch()
    return tmp_path


def test_models_that_are_no_longer_named_go(trained, capsys):
    remove_unnamed_models(trained, ["svm"])
    assert [path.name for path in trained.iterdir()] == ["svm"]
    assert f"removing {trained / 'mlp'}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["notes", "image-svm-old"])
def test_a_folder_that_is_no_model_is_named_and_left_alone(trained, name):
    (trained / name).mkdir()
    with pytest.raises(InputError, match=f"{name} is no model"):
        remove_unnamed_models(trained, ["svm", "mlp"])
    assert (trained / name).is_dir()


def test_networks_of_encoders_that_are_no_longer_named_go(tmp_path, capsys):
    for name in ("kept", "gone", "not_in_int8"):
        (tmp_path / name).mkdir()
    (tmp_path / "gone/manifest.json").touch()
    (tmp_path / "not_in_int8/.DS_Store").touch()  # as where a desktop has opened the folder
    remove_unnamed_networks(tmp_path, ["kept"])
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert f"removing {tmp_path / 'gone'}" in capsys.readouterr().out


def test_weights_of_encoders_that_are_no_longer_named_are_put_aside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("data/weights")
    set_aside_unnamed_weights(folder, [])  # there are none yet
    for number in range(2):  # what was put aside earlier is replaced
        for name in ("kept", "gone"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / "manifest.json").write_text(f"{number}")
        (folder / ".gitignore").touch()
        set_aside_unnamed_weights(folder, ["kept"])
        assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "kept"]
    for name in ("gone", "kept", "never"):
        take_back(folder / name)
    assert (folder / "gone/manifest.json").read_text() == "1"
    assert (folder / "kept").is_dir() and not (folder / "never").exists()


@pytest.mark.parametrize("clear", [remove_unnamed_networks, set_aside_unnamed_weights])
def test_a_folder_that_is_no_encoders_is_named_and_left_alone(tmp_path, clear):
    (tmp_path / "mine/notes").mkdir(parents=True)
    with pytest.raises(InputError, match="mine is no "):
        clear(tmp_path, [])
    assert (tmp_path / "mine/notes").is_dir()
