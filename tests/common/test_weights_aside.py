"""Weights that are put aside come back as they were, unless others have their place."""

import shutil
from pathlib import Path
from threading import Thread

import pytest

from stages.common.weights_aside import set_aside, take_back

FOLDER = Path("data/weights/mine")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(text: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "manifest.json").write_text(text)


def test_the_latest_come_back():
    for text in ("old", "new"):
        write(text)
        set_aside(FOLDER)
        assert not FOLDER.exists()
    take_back(FOLDER)
    assert (FOLDER / "manifest.json").read_text() == "new"


def test_an_experiment_that_runs_elsewhere_does_not_take_the_only_ones(tmp_path, monkeypatch):
    write("mine")
    set_aside(FOLDER)
    experiment = tmp_path / ".dvc" / "tmp" / "exps" / "temporary"
    experiment.mkdir(parents=True)
    monkeypatch.chdir(experiment)
    take_back(FOLDER)
    assert (FOLDER / "manifest.json").read_text() == "mine"
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(experiment)  # as DVC does once the experiment has ended
    take_back(FOLDER)
    assert (FOLDER / "manifest.json").read_text() == "mine"


def test_two_that_are_put_aside_at_once_do_not_mix(tmp_path, monkeypatch):
    other = tmp_path / "experiment" / FOLDER
    other.mkdir(parents=True)
    (other / "manifest.json").write_text("other")
    second = Thread(target=set_aside, args=(other,))
    move = shutil.move

    def meanwhile(*arguments):
        monkeypatch.setattr(shutil, "move", move)
        second.start()
        second.join(0.5)  # it ends only where it does not wait for its turn
        move(*arguments)

    write("mine")
    monkeypatch.setattr(shutil, "move", meanwhile)
    set_aside(FOLDER)
    second.join()
    take_back(FOLDER)
    assert [file.name for file in FOLDER.iterdir()] == ["manifest.json"]
    assert (FOLDER / "manifest.json").read_text() == "other"


def test_others_that_are_there_stay():
    write("aside")
    set_aside(FOLDER)
    write("there")
    take_back(FOLDER)
    assert (FOLDER / "manifest.json").read_text() == "there"


def test_none_were_put_aside():
    take_back(FOLDER)
    assert not FOLDER.exists()
