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


@pytest.fixture
def installed(folder: Path) -> Path:
    """Such a folder with a .venv, where a program that says "ran" is in the place of DVC."""
    programs = folder / ".venv/bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "dvc").write_text("#!/bin/sh\necho ran\n")
    (programs / "dvc").chmod(0o755)
    (folder / ".venv/.installed-requirements.txt").touch()
    return folder


def make_run(folder: Path, *variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", "run", *variables],
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


def test_a_venv_that_was_cut_short_is_completed(folder):
    """As by Ctrl-C, or where Debian's python3-venv is missing: it has a Python and no pip."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    programs = folder / ".venv/bin"
    programs.mkdir(parents=True)
    for python in (folder / "python", programs / "python"):  # both say what they are asked for
        python.write_text('#!/bin/sh\ncase "$*" in *venv*|*pip*) echo "$@" ;; esac\n')
        python.chmod(0o755)
    lines = make_run(folder, "PYTHON=./python").stdout.splitlines()
    assert lines.index("-m venv .venv") < lines.index(
        "-m pip install --quiet --no-compile --requirement requirements.txt"
    )


@pytest.mark.parametrize("left", ["", '{"write": {"data/ima'])
def test_the_part_of_a_lock_that_a_kill_leaves_is_removed(installed, left):
    lock = installed / ".dvc/tmp/rwlock"
    lock.parent.mkdir(parents=True)
    lock.write_text(left)
    assert make_run(installed).stdout.splitlines()[-1] == "ran"
    assert not lock.exists()
    lock.write_text("{}")  # one that DVC holds
    make_run(installed)
    assert lock.exists()


def test_an_interpreter_that_is_not_the_one_that_is_installed_is_refused(installed):
    other = installed / "python3.99"
    other.write_text("#!/bin/sh\necho Python 3.99.0\n")
    other.chmod(0o755)
    done = make_run(installed, f"PYTHON={other}")
    assert done.returncode != 0 and "ran" not in done.stdout.splitlines()
    assert "python3.99 is not the Python 3." in done.stdout
    assert "that is in .venv: remove .venv" in done.stdout
    assert "ran" in make_run(installed, f"PYTHON={sys.executable}").stdout.splitlines()


def test_a_venv_that_was_moved_is_refused(installed):
    (installed / ".venv/bin/dvc").write_text(f"#!{installed}/.venv/bin/python\nprint('ran')\n")
    assert "ran" in make_run(installed).stdout.splitlines()
    moved = installed.rename(installed.with_name("moved"))
    done = make_run(moved)
    assert done.returncode != 0
    assert "as where the project was moved: remove .venv and try again" in done.stdout
