"""How the tests run a prediction: in small chunks, with models that are loaded once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.batch import read

from serving.batch import run
from serving.batch.options import Options


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let a few rows be a part, and put caches into the test's folder."""
    monkeypatch.setattr(run, "CHUNK", 8)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def loaded(
    model_folders: dict[str, Path], predictor, text_predictor, monkeypatch: pytest.MonkeyPatch
) -> dict[Path, object]:
    """The models by folder, each loaded once."""
    by_folder = {
        model_folders["multimodal"]: predictor,
        model_folders["text"]: text_predictor,
    }
    monkeypatch.setattr(run.Predictor, "load", by_folder.__getitem__)
    return by_folder


@pytest.fixture
def predict(tmp_path: Path, model_folders: dict[str, Path], loaded) -> Callable:
    """A function that predicts for a table in the test's folder; returns the rows and the summary.

    `model` is the name of one of the models. The rows are those of an output in Parquet.
    """

    def predict(table, model="multimodal", output="out.parquet", **changes):
        paths = {"table": tmp_path / table, "output": tmp_path / output}
        options = Options(**paths, **{"model": model_folders[model]} | changes)
        summary = run.predict_table(options)
        assert not (tmp_path / f"{output}.parts").exists()
        return read(tmp_path / output) if output.endswith(".parquet") else None, summary

    return predict
