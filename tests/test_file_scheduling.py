"""What remains of a run of the tests in which a process dies."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_ends_and_says_where_a_process_died(processes, tmp_path):
    (tmp_path / "helpers").mkdir()
    for name in ("conftest.py", "helpers/file_scheduling.py", "helpers/crashes.py"):
        shutil.copy(TESTS / name, tmp_path / name)
    passes = "def test_{}(): pass\n"
    (tmp_path / "test_1.py").write_text(passes.format("a") + passes.format("b"))
    dies = "def test_dies():\n    import os\n    os.abort()\n"
    (tmp_path / "test_2.py").write_text(passes.format("c") + dies + passes.format("d"))
    (tmp_path / "test_3.py").write_text(passes.format("e"))
    options = f"-p no:cacheprovider --numprocesses {processes} --dist loadfile".split()
    command = [sys.executable, "-m", "pytest", *options, "--no-loadscope-reorder"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1
    assert "FAILED test_2.py::test_dies - worker 'gw" in run.stdout
    assert 'test_2.py", line 4 in test_dies' in run.stdout
    assert "1 failed, 5 passed" in run.stdout
