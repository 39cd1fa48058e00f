"""A copy of the project's folder has what the folder has, and nothing of earlier runs."""

import tempfile
from pathlib import Path

import pytest

from stages.compute.project_files import describe_folder, read_part
from stages.encoders.fingerprint import network_key
from stages.encoders.huggingface_text import Settings

SETTINGS = Settings(kind="huggingface_text", model="a/model")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the run, which is the working folder; copies lie beside it."""
    copies, project = tmp_path / "copies", tmp_path / "project"
    copies.mkdir()
    project.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    monkeypatch.chdir(project)
    return project


def copied(*reads: Path) -> Path:
    """Return the folder on a machine that does not share the project's."""
    folder = describe_folder(reads, "node")
    folder.mark.unlink()
    return folder.prepare(read_part)[0]


def test_a_file_that_is_gone_is_gone_from_the_copy(project: Path) -> None:
    weights, beside = Path("data/weights/text"), Path("data/features.parquet")
    (weights / "part").mkdir(parents=True)
    for file in (weights / "vocab.txt", weights / "model.safetensors", weights / "part/a", beside):
        file.write_text(file.name)
    copied(weights, beside)
    (weights / "vocab.txt").unlink()
    (weights / "part/a").unlink()
    (weights / "part").rmdir()
    copy = copied(weights)
    assert [file.name for file in (copy / weights).iterdir()] == ["model.safetensors"]
    assert (copy / beside).read_text() == beside.name  # which this run does not read
    # A machine whose weights were others would be refused, whatever is done about its processor.
    assert network_key(SETTINGS, copy / weights) == network_key(SETTINGS, weights)


def test_a_folder_may_have_been_a_file(project: Path) -> None:
    place = Path("model")
    place.write_text("a file")
    copied(place)
    place.unlink()
    place.mkdir()
    (place / "model.json").write_text("{}")
    assert (copied(place) / "model" / "model.json").read_text() == "{}"


def test_a_shared_folder_stays_shared_while_another_run_starts_in_it(project: Path) -> None:
    Path("weights").mkdir()
    Path("weights/model.safetensors").write_text("weights")
    first = describe_folder([Path("weights")], "node")
    second = describe_folder([Path("weights")], "node")
    assert [run.prepare(read_part) for run in (first, second)] == [(project, 0)] * 2
