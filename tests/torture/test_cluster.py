"""A cluster whose machines, workers and driver are killed at random moments: nothing is lost.

The encoder is one whose cost is waiting, so that any machine can play several. It writes down what
it is asked for.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from helpers.repository import TOP
from helpers.waiting_encoder import Waiting

from stages.compute.ray import AHEAD
from stages.encoders.distributed import BATCH

KILLS = 10
MACHINES = 3
N_TEXTS = 24 * BATCH
MACHINE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
# What each machine has under way when it is lost, or when all lose the driver.
TWICE = AHEAD * BATCH


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of three machines of one core each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=MACHINE | {"include_dashboard": False})
    for _ in range(MACHINES - 1):
        cluster.add_node(**MACHINE)
    try:
        yield cluster
    finally:
        cluster.shutdown()


@pytest.fixture
def driver(cluster: Any, tmp_path: Path) -> Iterator["Driver"]:
    """What embeds texts on the cluster."""
    found = Driver(cluster.address, tmp_path)
    try:
        yield found
    finally:
        found.kill()


class Driver:
    """A process that embeds texts on a cluster into a folder, which can be killed."""

    def __init__(self, address: str, folder: Path) -> None:
        self.folder = folder
        places = [str(TOP), str(TOP / "tests"), *sys.path[1:]]
        self._env = os.environ | {"RAY_ADDRESS": address, "PYTHONPATH": os.pathsep.join(places)}

    def start(self) -> None:
        """Start the process, and wait until the first batch is asked for."""
        before = self.encoded()
        command = [sys.executable, "-m", "helpers.waiting_encoder", str(self.folder), str(N_TEXTS)]
        self._process = subprocess.Popen(command, cwd=TOP, env=self._env)
        while self.encoded() == before:
            assert self._process.poll() is None
            time.sleep(0.05)

    def wait(self) -> None:
        """Wait until it is done."""
        assert self._process.wait() == 0

    def kill(self) -> None:
        """Kill it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def encoded(self) -> int:
        """Return how many texts were embedded so far, by all machines."""
        return sum(int(file.name.split()[0]) for file in (self.folder / "called").glob("*"))

    def check(self, most: int) -> None:
        """Compare the vectors with those of this process; at most so many may be done twice."""
        texts = [f"product {i}" for i in range(N_TEXTS)]
        wanted = Waiting(self.folder, 0).vectors(texts)
        assert np.load(self.folder / "vectors.npy").tobytes() == wanted.tobytes()
        n_encoded = self.encoded()
        assert N_TEXTS <= n_encoded <= N_TEXTS + most
        done = json.loads((self.folder / "done.json").read_text())
        assert done["computed"] + done["cache_hits"] == N_TEXTS


def moments(seed: int) -> Iterator[float]:
    """Yield random moments of a run, in seconds after its first batch began."""
    drawn = random.Random(seed)
    for _ in range(KILLS):
        yield drawn.uniform(0, 0.8 * N_TEXTS / MACHINES * Waiting.SECONDS)


@pytest.mark.parametrize("moment", moments(1))
def test_a_machine_is_lost(cluster: Any, driver: Driver, moment: float) -> None:
    driver.start()
    time.sleep(moment)
    lost = random.Random(moment).choice(cluster.list_all_nodes()[1:])
    cluster.remove_node(lost, allow_graceful=False)
    try:
        driver.wait()
        driver.check(TWICE)
    finally:
        cluster.add_node(**MACHINE)


@pytest.mark.parametrize("moment", moments(2))
def test_a_worker_is_killed(driver: Driver, moment: float) -> None:
    driver.start()
    time.sleep(moment)
    started = psutil.Process().children(recursive=True)  # another cluster may be at work here
    working = [
        one
        for one in psutil.process_iter(["name"])
        if one.info["name"] == "ray::_call" and one in started
    ]
    random.Random(moment).choice(working).kill()
    driver.wait()
    driver.check(TWICE)


@pytest.mark.parametrize("moment", moments(3))
def test_the_driver_is_killed(driver: Driver, moment: float) -> None:
    driver.start()
    time.sleep(moment)
    driver.kill()
    assert not (driver.folder / "vectors.npy").exists()
    driver.start()
    driver.wait()
    driver.check(MACHINES * TWICE)
