"""Models that params.yaml no longer names go; what is no model stays, and is named."""

from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.fusion.orphans import remove_unnamed_models


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
