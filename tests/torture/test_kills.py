"""A stage that is killed, interrupted or out of space: the next run gives what it always gives."""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from stages.common.files import sha256_of

KILLS = 5
END_S = 2.0
INTERRUPTED = "interrupted: run `dvc repro` again to go on"


def seconds_of(copy, command):
    began = time.monotonic()
    copy.run(*command)
    return time.monotonic() - began


def test_after_a_kill_at_any_moment_of_any_stage_the_same_bytes_are_built(copy):
    wanted = copy.outputs()
    moments = random.Random(5)
    for name in copy.stages():
        run = ("dvc", "repro", "--force", "--single-item", "--no-run-cache", name)
        seconds = seconds_of(copy, run)
        assert copy.outputs() == wanted, f"{name} gives other bytes when it is run again"
        for _ in range(KILLS):
            moment = moments.uniform(0, seconds)
            copy.killed(moment, *run)
            copy.run(*run)  # a plain `dvc repro` would take the outputs from DVC's cache
            copy.repro()
            assert copy.outputs() == wanted, f"{name}, killed after {moment:.2f} s"
            assert copy.leftovers() == [], f"{name}, killed after {moment:.2f} s"
    assert copy.run("git", "status", "--porcelain") == ""


def test_control_c_ends_every_stage_at_once_with_one_line_and_no_leftovers(copy):
    for name, stage in copy.stages().items():
        command = stage["cmd"].split()
        seconds = seconds_of(copy, command)
        for share in (0.3, 0.6):
            with copy.start(*command) as process:
                time.sleep(share * seconds)
                process.send_signal(signal.SIGINT)
                began = time.monotonic()
                said = process.communicate()[1]
                took = time.monotonic() - began
            assert took < END_S, f"{name} goes on for {took:.1f} s"
            assert "Traceback" not in said, f"{name}: {said}"
            # At its very end, when all is written, a process ends without a word.
            assert (
                said.rstrip().endswith(INTERRUPTED) or "100%" in said or share > 0.3
            ), f"{name}: {said}"
            assert copy.leftovers() == [], name


def test_a_full_disk_is_said_in_one_line_by_every_stage(copy):
    # A file may not grow beyond 16 bytes: the system refuses the write as it does on a full disk.
    limited = (
        "import resource, signal, sys, runpy; sys.argv = sys.argv[1:]; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16)); "
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    for name, stage in copy.stages().items():
        for out in stage["outs"]:
            path = copy.top / out["path"]
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        with copy.start("python", "-c", limited, *stage["cmd"].split()[2:]) as process:
            said = process.communicate()[1]
        copy.run("dvc", "checkout", "--force", "--quiet")
        copy.run("git", "checkout", "--quiet", ".")
        assert process.returncode != 0, f"{name}: {said}"
        assert "Traceback" not in said, f"{name}: {said}"
        assert said.rstrip().rpartition("\n")[2].startswith("error: "), f"{name}: {said}"
        assert copy.leftovers() == [], name


@pytest.mark.skipif(os.geteuid() != 0, reason="to mount a file system takes root")
def test_a_full_or_read_only_file_system_is_said_in_one_line(copy):
    stage = copy.stages()["prepare"]
    folder = copy.top / "data"
    kept = copy.top / "kept"
    for options in ("size=20k", "ro"):
        folder.rename(kept)
        folder.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder])
        try:
            if mounted.returncode != 0:
                pytest.skip("a file system cannot be mounted here")
            if options != "ro":
                (folder / "filler").write_bytes(bytes(16384))
            # The table is read from where it was.
            copy.edit(lambda params: params["data"].update(folder="kept/catalogue"))
            with copy.start(*stage["cmd"].split()) as process:
                said = process.communicate()[1]
        finally:
            subprocess.run(["umount", folder], stderr=subprocess.DEVNULL)
            folder.rmdir()
            kept.rename(folder)
        assert process.returncode != 0 and "Traceback" not in said
        assert said.count("\n") == 1 and said.startswith("error: "), said


def test_a_store_that_another_process_removed_costs_time_only(copy):
    wanted = copy.outputs()
    shutil.rmtree(copy.top / ".cache", ignore_errors=True)
    copy.repro("--no-run-cache", "--force", "--single-item", "download_images")
    assert copy.outputs() == wanted


def test_two_experiments_at_once_end_well_or_fail_and_spoil_nothing(copy):
    wanted = copy.outputs()
    table = copy.top / "params.yaml"
    before = sha256_of(table)
    runs = [
        copy.start("dvc", "exp", "run", "--set-param", f"classifiers.svm.C={value}")
        for value in (2.5, 3.5)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in runs]
    for said, code in ends:
        assert "Traceback" not in said, said
        assert code == 0 or "ERROR" in said, said
    copy.back()
    copy.repro()
    assert sha256_of(table) == before
    assert copy.outputs() == wanted
