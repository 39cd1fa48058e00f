"""What `make run` says and mends before DVC runs."""

import os
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


def make_run(
    folder: Path, *variables: str, target: str = "run"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", target, *variables],
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


@pytest.mark.parametrize("target", ["run", "test"])
def test_on_a_mac_every_target_takes_the_packages_for_a_mac(installed, monkeypatch, target):
    uname = installed / "system/uname"
    uname.parent.mkdir()
    uname.write_text("#!/bin/sh\necho Darwin\n")
    uname.chmod(0o755)
    monkeypatch.setenv("PATH", f"{uname.parent}{os.pathsep}{os.environ['PATH']}")
    shutil.copyfile(TOP / "requirements_mac.txt", installed / "requirements_mac.txt")
    (installed / ".venv/.installed-requirements.txt").unlink()
    (installed / ".venv/.installed-requirements_mac.txt").touch()
    done = make_run(installed, "--dry-run", target=target)
    assert "--requirement" not in done.stdout and done.returncode == 0


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


@pytest.fixture
def real_venv(installed: Path) -> Path:
    """Such a folder, where the .venv has the packages of its own alone, and a program pip."""
    (installed / ".venv/bin/pip").write_text("#!/bin/sh\n")
    (installed / ".venv/bin/pip").chmod(0o755)
    home = f"home = {sys.base_prefix}/bin\ninclude-system-site-packages = false\n"
    (installed / ".venv/pyvenv.cfg").write_text(home)
    return installed


@pytest.mark.parametrize("target", ["run", "test"])
@pytest.mark.parametrize("change", ["gone", "upgraded", "upgraded, and requirements changed"])
def test_a_venv_whose_python_was_removed_or_upgraded_is_refused(real_venv, target, change):
    """As where Homebrew, pyenv or a new release of the system has replaced it."""
    subprocess.run(["git", "init", "--quiet"], cwd=real_venv, check=True)
    if change == "gone":
        (real_venv / ".venv/bin/python").unlink()
        (real_venv / ".venv/bin/python").symlink_to("/gone/python3")
    if change.endswith("changed"):  # upgraded: the packages are in the folder of another version
        (real_venv / ".venv/.installed-requirements.txt").unlink()
    done = make_run(real_venv, target=target)
    assert done.returncode != 0 and "ran" not in done.stdout.splitlines()
    assert "cannot import, as where that was upgraded or removed: remove .venv" in done.stdout


def test_a_venv_whose_python_is_the_one_that_it_was_made_with_stays(real_venv):
    version = ".".join(map(str, sys.version_info[:2]))
    packages = real_venv / f".venv/lib/python{version}/site-packages"
    (packages / "pip").mkdir(parents=True)
    assert "ran" in make_run(real_venv).stdout.splitlines()


def test_what_make_torture_runs_can_be_collected():
    command = [sys.executable, "-m", "pytest", "--collect-only", "tests/torture"]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
