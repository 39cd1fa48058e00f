"""Where params.yaml says that work is done: `compute` and `jobs`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from stages.compute import local, ray
from stages.compute.base import RunUnits, Workers

Compute = Literal["local", "ray"]


def select_runner(
    compute: Compute, jobs: int | Literal["auto"], sizes: local.Sizes, reads: Sequence[Path]
) -> RunUnits:
    """Return what fits models: processes of this machine, or the cores of a cluster.

    Of a cluster, `jobs` says nothing. `reads` are the files and folders that they read.
    """
    if compute == "ray":
        gpus = sizes.may_use_gpu
        return ray.Cores(sizes.usual, gpus, reads)
    return local.Processes(local.count_jobs(jobs, sizes))


def select_workers(
    compute: Compute, use_gpus: bool = False, reads: Sequence[Path] = ()
) -> Workers | None:
    """Return the machines of a cluster; None where this one does the work.

    With `use_gpus` they are its GPUs, if it has any. `reads` are the files and folders that they
    read.
    """
    return ray.RayWorkers(use_gpus, reads) if compute == "ray" else None
