"""A model's file is loaded only if it can run no code, and depends on the model alone."""

import functools
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from stages.classifiers.sklearn_model import (
    MODEL_FILE,
    SklearnModel,
    decision_scores,
    fit_temperature,
    load,
)
from stages.errors import InputError
from stages.features import Features


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
@pytest.mark.parametrize("place", ["estimator", "temperature"])
def test_a_file_that_might_run_code_is_refused(tmp_path, monkeypatch, planted, named, place):
    monkeypatch.chdir(tmp_path)
    content = {"estimator": LogisticRegression(), "temperature": None, place: planted}
    (tmp_path / MODEL_FILE).write_bytes(skops.io.dumps(content))
    with pytest.raises(InputError, match=rf"model\.skops holds .*{named}"):
        load(tmp_path)
    assert not (tmp_path / "it_ran").exists()


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


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_have_a_column_per_class_and_rank_as_the_estimator_does(classes):
    rng = np.random.default_rng(0)
    at = rng.integers(classes, size=200)
    rows = np.eye(6)[at] + 0.2 * rng.normal(size=(200, 6))
    names = np.array([f"c{number}" for number in range(classes)])
    estimator = SVC().fit(rows, names[at])
    scores = decision_scores(estimator, rows)
    assert scores.shape == (200, classes)
    assert (names[scores.argmax(axis=1)] == estimator.predict(rows)).all()


@pytest.mark.parametrize("wanted", [0.25, 1.0, 4.0])
def test_the_temperature_under_which_labels_were_drawn_is_found(wanted):
    rng = np.random.default_rng(0)
    scores = 3 * rng.normal(size=(20_000, 4))
    odds = np.exp(scores / wanted)
    odds /= odds.sum(axis=1, keepdims=True)
    drawn = (odds.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    classes = np.array(["a", "b", "c", "d"])
    assert fit_temperature(scores, classes, classes[drawn]) == pytest.approx(wanted, rel=0.05)


def test_a_temperature_makes_scores_into_probabilities_of_the_same_order():
    rng = np.random.default_rng(0)
    at = rng.integers(3, size=90)
    rows = (np.eye(5)[at] + 0.3 * rng.normal(size=(90, 5))).astype(np.float32)
    labels = np.array(["a", "b", "c"])[at]
    features = Features({"block": rows}, {"block": np.ones(90, dtype=bool)}, {"block": 1.0}, labels)
    estimator = SVC().fit(rows, labels)
    sharp, soft = (SklearnModel(estimator, t).predict_proba(features) for t in (0.1, 10.0))
    assert (sharp.argmax(axis=1) == soft.argmax(axis=1)).all()
    assert sharp.max() > 0.99 and soft.max() < 0.5
