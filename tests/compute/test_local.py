"""Units of work give the same in processes of their own, which end with the one that waits."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pytest
from helpers.repository import TOP

from stages.common.errors import InputError
from stages.compute import local
from stages.compute.local import GIB, SMALL, Processes, Sizes, count_jobs
from stages.params import load_params


def svm_settings(**changed: Any) -> Any:
    return load_params(TOP / "params.yaml").classifiers["svm"].model_copy(update=changed)


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_units_return_comes_in_their_order(jobs):
    assert list(Processes(jobs)([partial(pow, 2, n) for n in range(5)])) == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(("n", "jobs"), [(3, 1), (1, 3), (0, 2)])
def test_one_job_or_one_unit_starts_no_process(n, jobs):
    assert list(Processes(jobs)([os.getpid] * n)) == [os.getpid()] * n


@pytest.mark.parametrize(("cores", "own"), [(2, 1), (5, 2), (1, 1)])
def test_a_process_has_one_thread_and_its_share_of_cores(monkeypatch, cores, own):
    def threads() -> tuple[set[int], int, bool]:
        import sklearn.ensemble  # noqa: F401
        from joblib import cpu_count
        from threadpoolctl import threadpool_info

        share = int(os.environ["LOKY_MAX_CPU_COUNT"])
        return {one["num_threads"] for one in threadpool_info()}, share, cpu_count() <= share

    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    assert list(Processes(2)([threads] * 2)) == [({1}, own, True)] * 2


def test_an_error_of_a_unit_is_that_of_all():
    def fails() -> None:
        raise InputError("fold 2, text: too few")

    with pytest.raises(InputError, match=r"^fold 2, text: too few$"):
        list(Processes(2)([fails, os.getpid]))


def test_a_process_that_is_killed_says_what_to_lower():
    def is_killed() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(InputError, match=r"was killed.*set `jobs` in params.yaml to less than 2$"):
        list(Processes(2)([is_killed, os.getpid]))


def wait_for_end(pid: int) -> None:
    """Wait until a process is no more; fail after a minute."""
    began = time.monotonic()
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() - began < 60
        time.sleep(0.1)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="to see processes takes /proc")
@pytest.mark.parametrize(
    ("ends_by", "said"),
    [("SIGINT", "interrupted: run `dvc repro` again to go on\n"), ("SIGKILL", "")],
)
def test_control_c_and_a_kill_end_the_processes_too(tmp_path, ends_by, said):
    script = f"""
    import os, signal, time
    from pathlib import Path
    from stages.common.process import run_stage
    from stages.compute.local import Processes

    def ends_the_stage():
        Path("worker").write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.{ends_by})
        time.sleep(600)

    run_stage(lambda: list(Processes(2)([ends_the_stage, lambda: None])))
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(TOP)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.wait(60)
        wait_for_end(int((tmp_path / "worker").read_text()))
        assert process.returncode != 0
        assert said in ("", process.stderr.read())  # of a kill only joblib speaks


@pytest.mark.parametrize(
    ("jobs", "features", "free", "is_tuning", "wanted"),
    [
        (3, SMALL, GIB, False, 3),
        ("auto", SMALL - 1, 99 * GIB, False, 1),
        ("auto", GIB, 99 * GIB, False, 4),
        ("auto", GIB, 13 * GIB, False, 2),
        ("auto", GIB, 3 * GIB, False, 1),
        ("auto", SMALL - 1, 99 * GIB, True, 4),
        ("auto", 0, 7 * GIB, True, 2),
    ],
    ids=[
        *(
            "as given",
            "few features",
            "a core each",
            "room for two",
            "room for one, if it is frugal",
        ),
        *("networks to tune", "room for two networks"),
    ],
)
def test_auto_goes_by_cores_and_free_memory(monkeypatch, jobs, features, free, is_tuning, wanted):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    monkeypatch.setattr(local, "free_memory", lambda: free)
    assert count_jobs(jobs, Sizes(features, 0, is_tuning=is_tuning)) == wanted


@pytest.mark.parametrize(("features", "wanted"), [(0, 1), (SMALL - 1, 4)])
def test_what_learns_in_epochs_takes_all_cores_for_fewer_features(monkeypatch, features, wanted):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    assert count_jobs("auto", Sizes(features, 0, in_epochs=True)) == wanted


def test_two_processes_share_a_gpu(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 16)
    monkeypatch.setattr(local, "free_memory", lambda: 99 * GIB)
    monkeypatch.setattr(local, "torch_device", lambda: "cuda")
    assert count_jobs("auto", Sizes(0, 0, is_tuning=True, may_use_gpu=True)) == 2
    assert count_jobs("auto", Sizes(0, 0, is_tuning=True)) == 16


def test_features_that_lie_in_files_need_little_memory(monkeypatch):
    monkeypatch.setattr(local, "free_memory", lambda: 16 * GIB)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    assert count_jobs("auto", Sizes(128 * 10**9, 10**8)) == 2


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (Sizes(128 * 10**9, 4 * 10**9), r"128\.0 GB of features, 4\.0 GB of probabilities takes"),
        (
            Sizes(10**9, 10**8, svm_settings(nystroem_above=10**5).bytes_for(40_000)),
            r"1\.0 GB of features, 0\.1 GB of probabilities, 25\.6 GB of its own takes",
        ),
    ],
)
def test_where_memory_has_no_room_it_is_said(monkeypatch, sizes, said):
    monkeypatch.setattr(local, "free_memory", lambda: 16 * GIB)
    message = rf"^training with {said} at least 2\d\.\d GB of memory, of which 17\.2 GB are free: "
    with pytest.raises(InputError, match=message):
        count_jobs("auto", sizes)
    assert count_jobs(1, sizes) == 1


@pytest.mark.parametrize(
    ("content", "is_limited"), [("1000\n", True), ("max\n", False), (None, False)]
)
def test_the_memory_of_a_container_is_its_limit(monkeypatch, tmp_path, content, is_limited):
    if content:
        (tmp_path / "memory.max").write_text(content)
    monkeypatch.setattr(local, "CONTROL_GROUPS", tmp_path)
    assert (local.free_memory() == 1000) == is_limited


def test_what_is_in_use_in_a_container_is_not_free(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("10000000\n")
    (tmp_path / "memory.current").write_text("7000000\n")
    stat = "anon 5000000\nfile 2000000\ninactive_file 1500000\nactive_file 500000\n"
    (tmp_path / "memory.stat").write_text(stat)
    monkeypatch.setattr(local, "CONTROL_GROUPS", tmp_path)
    assert local.free_memory() == 5_000_000  # what files are cached in gives way
    (tmp_path / "memory.max").write_text("4000000\n")  # lowered while it is in use
    assert local.free_memory() == 0


@pytest.mark.parametrize(
    ("limit", "free"), [("10000000", 5_000_000), ("9223372036854771712", None)]
)
def test_a_container_may_have_control_groups_of_version_1(monkeypatch, tmp_path, limit, free):
    group = tmp_path / "memory"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (group / "memory.usage_in_bytes").write_text("7000000\n")
    files = (
        "inactive_file 1\nactive_file 1\ntotal_inactive_file 1500000\ntotal_active_file 500000\n"
    )
    (group / "memory.stat").write_text(files)
    monkeypatch.setattr(local, "CONTROL_GROUPS", tmp_path)
    found = local.free_memory()
    assert found == free if free is not None else found > 10_000_000
