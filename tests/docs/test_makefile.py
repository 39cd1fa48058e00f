"""What `make run` says and mends before DVC runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.repository import TOP


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the Makefile and its requirements, in no Git repository."""
    for name in ("Makefile", "requirements.txt"):
        shutil.copyfile(TOP / name, tmp_path / name)
    return tmp_path


def make_run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", "run"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_folder_without_git_is_refused_before_anything_is_installed(folder):
    done = make_run(folder)
    assert done.returncode != 0
    assert (
        "is in no Git repository, which DVC needs: clone the repository"
        in done.stderr + done.stdout
    )
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("left", ["", '{"write": {"data/ima'])
def test_the_part_of_a_lock_that_a_kill_leaves_is_removed(folder, left):
    programs = folder / ".venv/bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "dvc").write_text("#!/bin/sh\necho ran\n")  # in the place of the real one
    (programs / "dvc").chmod(0o755)
    (folder / ".venv/.installed-requirements.txt").touch()
    lock = folder / ".dvc/tmp/rwlock"
    lock.parent.mkdir(parents=True)
    lock.write_text(left)
    assert make_run(folder).stdout.splitlines()[-1] == "ran"
    assert not lock.exists()
    lock.write_text("{}")  # one that DVC holds
    make_run(folder)
    assert lock.exists()
