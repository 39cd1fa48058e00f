"""Where params.yaml says that work is done: `compute` and `jobs`."""

from functools import partial
from typing import Literal

from stages.compute import local, ray
from stages.compute.base import RunUnits, Workers

Compute = Literal["local", "ray"]


def select_runner(compute: Compute, jobs: int | Literal["auto"], sizes: local.Sizes) -> RunUnits:
    """Return what fits models: processes of this machine, or the cores of a cluster.

    Of a cluster, `jobs` says nothing.
    """
    if compute == "ray":
        return partial(ray.run_units, memory=sizes.usual, may_use_gpus=sizes.may_use_gpu)
    return partial(local.run_units, jobs=local.count_jobs(jobs, sizes))


def select_workers(compute: Compute, backend: str) -> Workers | None:
    """Return the machines that encode inputs; None where this one does.

    They are the GPUs of a cluster, if it has any and the `backend` of params.yaml may run there.
    """
    return ray.RayWorkers(use_gpus=backend != "openvino") if compute == "ray" else None
