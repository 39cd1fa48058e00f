"""A machine of a Ray cluster that does not see some folders of this one."""

import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import ray

WITHIN_S = 60  # for a machine to join
# Folders are hidden by empty ones, for this process and what it starts alone. The interpreter's
# environment is put back where it lies in one of them.
HIDE = """
set -e
environment=$1 hold=$2 count=$3
shift 3
mkdir -p "$hold"
mount --bind "$environment" "$hold"
while [ "$count" -gt 0 ]; do mount -t tmpfs none "$1"; shift; count=$((count - 1)); done
mkdir -p "$environment"
mount --bind "$hold" "$environment"
cd /
exec "$@"
"""


@functools.cache
def can_hide() -> bool:
    """Say whether this process may hide folders from another one."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True).returncode == 0


@contextmanager
def hidden_node(address: str, hidden: Sequence[Path], temporary: Path) -> Iterator[None]:
    """Add a machine of one core to this process's cluster that does not see the `hidden` folders.

    `temporary` is its folder for temporary files. Where no folder can be hidden, it sees them all.
    """
    node = ["--num-cpus=1", f"--object-store-memory={100 * 2**20}", "--disable-usage-stats"]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={address}"]
    command = [*start, *node, "--block"]
    if can_hide():
        folders = [str(len(hidden)), *map(str, hidden)]
        within = [sys.prefix, str(temporary / "environment"), *folders]
        command = ["unshare", "--mount", "sh", "-c", HIDE, "sh", *within, *command]
    before, log = len(ray.nodes()), temporary / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=os.environ | {"TMPDIR": str(temporary)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + WITHIN_S
        while len(ray.nodes()) == before:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()
