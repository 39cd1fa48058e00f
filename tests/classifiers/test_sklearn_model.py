"""A model's file is loaded only if it can run no code, and depends on the model alone."""

import functools
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from stages.classifiers.sklearn_model import (
    MODEL_FILE,
    SklearnModel,
    load,
)
from stages.errors import InputError

TOP = Path(__file__).parents[2]


class RunsWhenLoaded:
    """What a pickle loader would run a command for."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch it_ran",)


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        (os.system, "posix.system"),
        (functools.partial(os.system, "touch it_ran"), "posix.system"),
        (RunsWhenLoaded(), "RunsWhenLoaded"),
        (np.array([RunsWhenLoaded()], dtype=object), "RunsWhenLoaded"),
    ],
    ids=["function", "partial", "object", "array of objects"],
)
@pytest.mark.parametrize("place", ["estimator", "attribute"])
def test_a_file_that_might_run_code_is_refused(tmp_path, monkeypatch, planted, named, place):
    monkeypatch.chdir(tmp_path)
    estimator = LogisticRegression()
    estimator.planted = planted
    content = planted if place == "estimator" else estimator
    (tmp_path / MODEL_FILE).write_bytes(skops.io.dumps(content))
    with pytest.raises(InputError, match=rf"model\.skops is not loaded, .*{named}"):
        load(tmp_path)
    assert not (tmp_path / "it_ran").exists()


def test_pytorch_is_not_imported():
    code = "import sys; import stages.classifiers.sklearn_model; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=TOP).returncode == 0


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(RunsWhenLoaded()))


def write_other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.pkl", pickle.dumps(RunsWhenLoaded()))


@pytest.mark.parametrize("write", [write_pickle, write_other_zip])
def test_another_kind_of_file_is_refused(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / MODEL_FILE)
    with pytest.raises(InputError, match=r"model\.skops was not written by skops"):
        load(tmp_path)
    assert not (tmp_path / "it_ran").exists()


def test_a_file_holds_neither_a_time_nor_an_address(tmp_path):
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(30, 4)), np.array(["x", "y"] * 15)
    SklearnModel(LogisticRegression().fit(rows, labels)).save(tmp_path)
    with zipfile.ZipFile(tmp_path / MODEL_FILE) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        stems = [name.split(".")[0] for name in archive.namelist() if name != "schema.json"]
    assert all(len(stem) < 4 for stem in stems)


def test_a_classs_name_that_looks_like_the_files_own_words_survives(tmp_path):
    rng = np.random.default_rng(0)
    names = ["7.npy", '"__id__": 12']
    rows, labels = rng.normal(size=(30, 4)), np.array(names * 15)
    SklearnModel(LogisticRegression().fit(rows, labels)).save(tmp_path)
    assert load(tmp_path).classes == sorted(names)
