"""Independent units of work on this machine, one after another or in processes of their own."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from stages.common.devices import torch_device
from stages.common.errors import InputError
from stages.common.large_arrays import LARGE

GIB = 2**30
IN_MEMORY = 4 * LARGE  # bytes of features, at most; larger blocks lie in files
# What a process that fits takes, beside a GiB of libraries: the features as they were read,
# preprocessed and side by side, and what a library makes of them; and the probabilities of each
# product, which an optimizer has several times.
TIMES_FEATURES = 5
TIMES_AT_LEAST = 2  # without which it ends in any case: they are read, and preprocessed
TIMES_PROBABILITIES = 5
TUNING = 2 * GIB  # what a network of MiniLM's size takes more while it is tuned
ON_GPU = 2  # processes that share a GPU: one computes while the other prepares
# Bytes of features, of which a turn is fitted as fast as a process starts; and of those that are
# gone through in epochs.
SMALL = 10 * 2**20
SMALL_IN_EPOCHS = 2 * 2**20
QUIET = "ignore:resource_tracker"  # of warnings in processes that are started
CONTROL_GROUPS = Path("/sys/fs/cgroup")  # of a container
FILE_CACHE = ("active_file", "inactive_file")  # which gives way to what processes take
# Where the limit, what is in use and its statistics are, and what stands before names in these: in
# control groups of version 2, whose limit may be "max", and of version 1.
GROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", ""),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_",
    ),
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Sizes:
    """What a process that fits has in memory, in bytes: all features, and the probabilities.

    `own` is what the kind of classifier holds beside them. With `is_tuning` there is a network,
    which is on a GPU if that `may_use_gpu` and there is one. `in_epochs` is whether a fit goes
    through its products many times.
    """

    features: int
    probabilities: int
    own: int = 0
    is_tuning: bool = False
    may_use_gpu: bool = False
    in_epochs: bool = False

    @property
    def least(self) -> int:
        """Bytes without which it ends in any case."""
        return GIB + TIMES_AT_LEAST * min(self.features, IN_MEMORY) + self._beside

    @property
    def usual(self) -> int:
        """Bytes that it takes."""
        held = TIMES_FEATURES * min(self.features, IN_MEMORY)
        return GIB + held + self._beside + (TUNING if self.is_tuning else 0)

    @property
    def are_small(self) -> bool:
        """Whether a second process would take as long to start as it saves."""
        small = SMALL_IN_EPOCHS if self.in_epochs else SMALL
        return self.features < small and not self.is_tuning

    @property
    def _beside(self) -> int:
        return TIMES_PROBABILITIES * self.probabilities + self.own


def count_jobs(jobs: int | Literal["auto"], sizes: Sizes) -> int:
    """Return how many processes may fit at the same time, 1 or more.

    `auto` is one per core, or ON_GPU where a GPU tunes networks; fewer where memory has no room for
    so many; and one where features are few and there are no networks to be tuned. Raises InputError
    where memory has no room for one in any case.
    """
    if jobs != "auto":
        return jobs
    if sizes.are_small:
        return 1
    from joblib import cpu_count

    free = free_memory()
    if free < sizes.least:
        parts = [
            f"{size / 1e9:.1f} GB of {name}"
            for name, size in (
                ("features", sizes.features),
                ("probabilities", sizes.probabilities),
                ("its own", sizes.own),
            )
            if size
        ]
        raise InputError(
            f"training with {', '.join(parts)} takes at least {sizes.least / 1e9:.1f} GB of "
            f"memory, of which {free / 1e9:.1f} GB are free: take a larger machine, fewer products "
            "or classes, or a smaller nystroem_above for an SVM; `jobs: 1` tries it as it is"
        )
    places = ON_GPU if sizes.may_use_gpu and torch_device() == "cuda" else cpu_count()
    return max(1, min(places, free // sizes.usual))


def free_memory() -> int:
    """Return how many bytes of memory processes can still take, in a container of its limit."""
    import psutil

    free = psutil.virtual_memory().available
    for limit, taken, statistics, prefix in GROUP_FILES:
        with suppress(OSError, ValueError):
            bytes_allowed = int((CONTROL_GROUPS / limit).read_text())
            free = min(free, bytes_allowed - _taken(taken, statistics, prefix))
    return max(0, free)


def _taken(taken: str, statistics: str, prefix: str) -> int:
    """Return how many bytes processes of a container hold; 0 where it is not said."""
    try:
        lines = (CONTROL_GROUPS / statistics).read_text().splitlines()
        counts = {name: int(count) for name, count in map(str.split, lines)}
        in_use = int((CONTROL_GROUPS / taken).read_text())
        return max(0, in_use - sum(counts[f"{prefix}{name}"] for name in FILE_CACHE))
    except (OSError, ValueError, LookupError):
        return 0


@dataclass(frozen=True)
class Processes:
    """So many processes of this machine, each of which does one unit of work at a time."""

    places: int

    def __call__(self, units: Sequence[Callable[[], Result]]) -> Iterator[Result]:
        """Call each of `units`; yield what they return, in their order, as soon as it is there.

        With more than one unit and process, what they hold and return is pickled; else they are
        called in this one. An error of a unit ends the others and is raised. Raises InputError
        where a process was killed.
        """
        yield from _run(units, min(self.places, len(units)))


def _run(units: Sequence[Callable[[], Result]], jobs: int) -> Iterator[Result]:
    if jobs < 2:
        for unit in units:
            yield unit()
        return
    from joblib import Parallel, cpu_count, delayed, parallel_config

    # An error ends the other processes; what cleans up after them would say so in several lines.
    if QUIET not in (known := os.environ.get("PYTHONWARNINGS", "")):
        os.environ["PYTHONWARNINGS"] = f"{known},{QUIET}".lstrip(",")
    with parallel_config("loky", inner_max_num_threads=1):
        # Without `max_nbytes` large arrays would go through files, which a kill leaves behind.
        pool = Parallel(jobs, batch_size=1, max_nbytes=None, return_as="generator")
        cores = max(1, cpu_count() // jobs)
        results = pool(delayed(_call_in_worker)(unit, os.getpid(), cores) for unit in units)
    try:
        yield from results
    except BrokenProcessPool:
        raise InputError(
            f"one of the {jobs} processes that fit models was killed, as happens where memory is "
            f"short: set `jobs` in params.yaml to less than {jobs}"
        ) from None


def _call_in_worker(unit: Callable[[], Result], parent: int, cores: int) -> Result:
    """Call a unit in a worker process."""
    _end_with(parent)
    return with_cores(unit, cores)


def with_cores(unit: Callable[[], Result], cores: int = 1) -> Result:
    """Call a unit in a process of its own, where a forest grows on so many cores.

    Libraries compute with one thread: each number of threads rounds differently.
    """
    from threadpoolctl import threadpool_limits

    os.environ["LOKY_MAX_CPU_COUNT"] = str(cores)  # or a forest would start a thread per core
    with threadpool_limits(1):
        return unit()


@cache
def _end_with(parent: int) -> None:
    """End this process as soon as its parent is gone: a worker does not notice by itself."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
