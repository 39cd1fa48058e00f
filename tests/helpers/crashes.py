"""What a process of the tests was doing when it died, in the report of its test.

pytest prints it where the process dies, amid thousands of dots.
"""

import faulthandler
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from xdist.workermanage import WorkerController

KEY = "stacks"
FRAMES = 10  # of each thread, from the innermost: those of pytest are below


class CrashReports:
    """A plugin of pytest, for the process that distributes tests."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Tell a process where to write the stacks of its threads when it dies."""
        node.workerinput[KEY] = str(self._file(node))

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, report: pytest.TestReport) -> None:
        """Add the stacks to the report of the test in which a process died."""
        file = self._file(report.node)
        stacks = shortened(file.read_text()) if file.exists() else ""
        report.longrepr = (
            f"{report.longrepr}\n{stacks or 'It left no stack: it was killed, or ended itself.'}"
        )

    def _file(self, node: WorkerController) -> Path:
        return Path(self._folder.name, node.gateway.id)


def shortened(stacks: str) -> str:
    """Return the innermost frames of each thread, those of the thread that died at the end."""
    threads = ["\n".join(thread.splitlines()[: FRAMES + 1]) for thread in stacks.split("\n\n")]
    return "\n\n".join(sorted(threads, key=lambda thread: thread.startswith("Current thread")))


def write_stacks(config: pytest.Config) -> None:
    """Have the stacks of a process's threads written when it dies, where another waits for them."""
    file = getattr(config, "workerinput", {}).get(KEY)
    if file:
        faulthandler.enable(os.open(file, os.O_WRONLY | os.O_CREAT))
