"""Everything that runs on a repository shares its cache, which keeps what was used last."""

import os
import subprocess
import sys
from pathlib import Path

from helpers.repository import TOP

from stages.common.cache import cache_folder, remove_unused
from stages.common.files import atomic_file


def test_a_temporary_experiment_has_the_cache_of_its_repository(tmp_path, monkeypatch):
    experiment = tmp_path / ".dvc" / "tmp" / "exps" / "tmp1234"
    experiment.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert cache_folder() == Path(".cache")
    monkeypatch.chdir(experiment)
    assert cache_folder() == tmp_path / ".cache"


def test_files_and_folders_that_were_used_longest_ago_are_removed(tmp_path):
    for age, name in enumerate(["new", "folder", "old", ".being written"]):
        one = tmp_path / name
        if name == "folder":
            one.mkdir()
            (one / "part").touch()
        else:
            one.touch()
        os.utime(one, (1000 - age, 1000 - age))
    remove_unused(tmp_path / "old", 2)
    assert {one.name for one in tmp_path.iterdir()} == {"old", "new", ".being written"}
    remove_unused(tmp_path / "not there", 1)
    assert {one.name for one in tmp_path.iterdir()} == {"old", ".being written"}


def test_what_a_killed_run_left_half_written_is_removed_whatever_its_name(tmp_path):
    killed = (
        "import os, sys; from pathlib import Path; from stages.common.files import atomic_file\n"
        "with atomic_file(Path(sys.argv[1])) as part: part.write_bytes(b'half'); os._exit(9)"
    )
    for name in ("one", ".two.checkpoint"):
        subprocess.run([sys.executable, "-c", killed, tmp_path / name], cwd=TOP)
    assert len(list(tmp_path.rglob("*/*"))) >= 2
    with atomic_file(tmp_path / "other") as part:
        part.write_text("of a run that goes on")
        remove_unused(tmp_path / "used", 2)
        assert list(tmp_path.iterdir()) == [part.parent]
    assert (tmp_path / "other").read_text() == "of a run that goes on"
