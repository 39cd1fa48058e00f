from pathlib import Path

import pytest

from stages import report
from stages.common.errors import InputError


def test_missing_metrics_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("metrics").mkdir()
    Path("metrics/models.json").write_text("{}")
    with pytest.raises(InputError, match=r"metrics/headline\.json is not there"):
        report.main()


def test_metrics_that_are_no_json_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("metrics").mkdir()
    Path("metrics/models.json").write_text("{")
    with pytest.raises(InputError, match=r"metrics/models\.json is no JSON"):
        report.main()
