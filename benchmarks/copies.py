"""A clone of the committed code, to run the pipeline in."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
from ruamel.yaml import YAML

TOP = Path(__file__).parents[1]
SAMPLE_S = 0.1


class Clone:
    """The last commit at `top`, with nothing built and, if asked for, other parameters."""

    def __init__(self, top: Path, edit: Callable[[Any], None] = lambda params: None) -> None:
        self.top = top
        subprocess.run(["git", "clone", "--quiet", str(TOP), str(top)], check=True)
        (top / "dvc.lock").unlink()
        yaml = YAML()
        params = yaml.load(top / "params.yaml")
        edit(params)
        yaml.dump(params, top / "params.yaml")

    def run(self, *command: str) -> tuple[float, float]:
        """Run a command there; return its seconds and the most memory that it took, in GiB.

        That is of all its processes, as it was each `SAMPLE_S` seconds, without what is mapped of
        files: the system takes that back where it needs it. Ends the benchmark with what the
        command said where it fails.
        """
        start = time.perf_counter()
        with self._started(command) as process:
            assert process.stdout  # it is a pipe
            taken = [0]
            sampling = Thread(target=sample_memory, args=(process.pid, taken), daemon=True)
            sampling.start()
            said = process.stdout.read()
        if process.returncode:
            raise SystemExit(f"error: {' '.join(command)} failed:\n{said}")
        seconds = time.perf_counter() - start
        sampling.join()
        return seconds, max(taken) / 2**30

    def repro(self) -> dict[str, float]:
        """Run `dvc repro`; return each stage's seconds, as they followed each other.

        Ends the benchmark with what it said where it fails.
        """
        times: list[tuple[str, float]] = []
        said = ""
        with self._started(("dvc", "repro")) as process:
            assert process.stdout
            for line in process.stdout:
                said += line
                if found := re.match(r"Running stage '(.+)':", line):
                    times.append((found[1], time.perf_counter()))
        if process.returncode:
            raise SystemExit(f"error: dvc repro failed:\n{said}")
        ends = [start for _, start in times[1:]] + [time.perf_counter()]
        return {name: end - start for (name, start), end in zip(times, ends, strict=True)}

    def _started(self, command: tuple[str, ...]) -> subprocess.Popen[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            command,
            cwd=self.top,
            env=os.environ | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def sample_memory(pid: int, taken: list[int]) -> None:
    """Add what a process and its children take of memory, in bytes, until it ends."""
    while psutil.pid_exists(pid):
        try:
            process = psutil.Process(pid)
            found = [one.memory_info() for one in (process, *process.children(recursive=True))]
        except psutil.Error:
            continue  # one of them has ended
        taken.append(sum(one.rss - getattr(one, "shared", 0) for one in found))
        time.sleep(SAMPLE_S)
