"""Models that the tests of serving share: made once, never changed."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from helpers.models import make_model

from serving import Predictor


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The folders of a model of image and text, multimodal, and of one of text alone."""
    top = tmp_path_factory.mktemp("models")
    return {name: make_model(top / name, name) for name in ("multimodal", "text")}


@pytest.fixture(scope="session")
def predictor(model_folders: Mapping[str, Path]) -> Predictor:
    """The model of image and text."""
    return Predictor.load(model_folders["multimodal"])


@pytest.fixture(scope="session")
def text_predictor(model_folders: Mapping[str, Path]) -> Predictor:
    """The model of text alone."""
    return Predictor.load(model_folders["text"])
