"""Everything that runs on a repository shares its cache."""

from pathlib import Path

from stages.common.cache import cache_folder


def test_a_temporary_experiment_has_the_cache_of_its_repository(tmp_path, monkeypatch):
    experiment = tmp_path / ".dvc" / "tmp" / "exps" / "tmp1234"
    experiment.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert cache_folder() == Path(".cache")
    monkeypatch.chdir(experiment)
    assert cache_folder() == tmp_path / ".cache"
