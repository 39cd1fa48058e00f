"""Work on a Ray cluster: the one that RAY_ADDRESS names, or one that is started here.

Every machine of it has the same packages and, for encoders, the same kind of processor. The code
goes to them with the work; so do the files that it reads, where a machine does not share the
project's folder. Ray runs a task again that was lost with a process or a machine, up to RETRIES
times; an error that a task raises ends the others and is raised here.
"""

import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from stages.common.errors import InputError
from stages.compute.local import with_cores
from stages.compute.project_files import ProjectFolder, describe_folder, read_part

RETRIES = 20  # of a task whose process or machine was lost: one that ends them all is given up
AHEAD = 2  # tasks of a machine or core that are under way before the first result is awaited
TIMEOUT_S = 10  # for the cluster to answer
CODE = ("stages", "serving")  # packages that go to the machines

Item = TypeVar("Item")
Result = TypeVar("Result")


class RayWorkers:
    """The machines of a cluster, each of which does one thing at a time with all its cores.

    Where there are GPUs, it is the GPUs instead, each with its share of its machine's cores.
    """

    def __init__(self, use_gpus: bool = True, reads: Sequence[Path] = ()) -> None:
        """Connect to the cluster; raises InputError where there is none.

        `reads` are the files and folders that will be read there.
        """
        nodes = _nodes()
        machines = [node["Resources"] for node in nodes]
        with_gpus = [machine for machine in machines if machine.get("GPU")] if use_gpus else []
        if with_gpus:
            cores = min(int(machine["CPU"] // machine["GPU"]) for machine in with_gpus)
            self._options = {"num_cpus": cores, "num_gpus": 1}
            self.n = int(sum(machine["GPU"] for machine in with_gpus))
        else:
            self._options = {"num_cpus": min(machine["CPU"] for machine in machines)}
            self.n = len(machines)
        self._folder = _prepare_folder(nodes, reads)

    def call(self, function: Callable[[], Result]) -> Result:
        """Return what a function returns on one of the machines."""
        return next(self.map(lambda _: function(), [None]))

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield what a function returns for each item, in their order."""
        yield from _run(AHEAD * self.n, self._options, self._folder, function, items)

    def map_unordered(
        self, function: Callable[[Item], Result], items: Iterable[Item], at_most: int
    ) -> Iterator[Result]:
        """Yield what a function returns for each of so many items at a time, as it comes."""
        yield from _run(at_most, self._options, self._folder, function, items, in_order=False)


class Cores:
    """The cores of a cluster, each of which does one unit of work at a time.

    Where units may use GPUs and there are any, it is the GPUs instead, each with a core.
    """

    def __init__(self, memory: int, may_use_gpus: bool = False, reads: Sequence[Path] = ()) -> None:
        """Connect to the cluster; raises InputError where there is none.

        A unit takes so many bytes of `memory`. `reads` are the files and folders that units read.
        """
        self._memory, self._reads = memory, reads
        machines = [node["Resources"] for node in _nodes()]
        self._kind = "GPU" if may_use_gpus and any(one.get("GPU") for one in machines) else "CPU"
        self._options = {"num_cpus": 1, "memory": memory, "num_gpus": int(self._kind == "GPU")}

    @property
    def places(self) -> int:
        """How many units are under way at a time: machines come and go."""
        return int(sum(node["Resources"].get(self._kind, 0) for node in _nodes()))

    def __call__(self, units: Sequence[Callable[[], Result]]) -> Iterator[Result]:
        """Yield what the units return, in their order.

        Raises InputError where no machine has the memory.
        """
        nodes = [node for node in _nodes() if node["Resources"].get(self._kind)]
        most = max((node["Resources"].get("memory", 0) for node in nodes), default=0)
        if self._memory > most:
            raise InputError(
                f"a unit of training takes {self._memory / 1e9:.1f} GB of memory, and no machine "
                f"of the cluster has more than {most / 1e9:.1f} GB to give: add a larger one"
            )
        folder = _prepare_folder(nodes, self._reads)
        yield from _run(AHEAD * self.places, self._options, folder, with_cores, units)


def _nodes() -> list[dict[str, Any]]:
    """Return Ray's description of each machine that has cores to give."""
    try:
        import ray
    except ImportError:
        raise InputError(
            "`compute: ray` takes the package ray: pip install -r requirements.txt, or set "
            "`compute: local`"
        ) from None
    if not ray.is_initialized():
        _check_address(os.environ.get("RAY_ADDRESS", ""))
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or Ray would tell of its use
        # Of a task whose process was ended as memory was short; or it would be done again for ever.
        os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))
        code = [str(Path(sys.modules[name].__path__[0])) for name in CODE if name in sys.modules]
        try:
            ray.init(
                logging_level=logging.WARNING,
                log_to_driver=False,
                include_dashboard=False,
                runtime_env={"py_modules": code},
            )
        except (ConnectionError, RuntimeError) as error:  # none, or other versions
            reason = " ".join(str(error).split())
            raise InputError(
                f"the Ray cluster cannot be joined ({reason}): start one with "
                "`ray start --head`, with this environment on each machine, or set `compute: local`"
            ) from None
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if not nodes:
        raise InputError("the Ray cluster has no machine with cores to give: add one")
    return nodes


def _check_address(address: str) -> None:
    """Raise InputError where nothing answers at a host and port: Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), TIMEOUT_S).close()
    except OSError as error:
        raise InputError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error.strerror or error}): start "
            "one with `ray start --head`, or set `compute: local`"
        ) from None


def _prepare_folder(nodes: Sequence[dict[str, Any]], reads: Sequence[Path]) -> ProjectFolder:
    """Return this process's folder, after machines that do not share it have copied its files."""
    import ray

    folder = describe_folder(reads, ray.get_runtime_context().get_node_id())
    # A machine that is lost meanwhile has nothing to prepare.
    entered = [_task_on(node["NodeID"], _enter, soft=True).remote(folder) for node in nodes]
    if copied := list(filter(None, map(_result, entered))):
        print(
            f"{sum(copied) / 1e6:,.1f} MB copied to {len(copied)} of {len(nodes)} machines, which "
            f"do not share {folder.path}",
            file=sys.stderr,
        )
    return folder


def _task_on(node: str, function: Callable[..., Any], soft: bool) -> Any:
    """Make a task of a function that takes no core of a machine; of another one if `soft`."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    place = NodeAffinitySchedulingStrategy(node, soft=soft)
    return ray.remote(function).options(num_cpus=0, scheduling_strategy=place)


def _enter(folder: ProjectFolder) -> int:
    """Make the folder a worker's own; return how many bytes it has copied for it."""
    place, n_bytes = _prepared(folder)
    os.chdir(place)
    return n_bytes


@cache
def _prepared(folder: ProjectFolder) -> tuple[Path, int]:
    def fetch(path: Path, start: int) -> bytes:
        part: bytes = _result(_task_on(folder.node, read_part, soft=False).remote(path, start))
        return part

    return folder.prepare(fetch)


def _run(
    at_most: int,
    options: dict[str, Any],
    folder: ProjectFolder,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    in_order: bool = True,
) -> Iterator[Result]:
    """Yield what a function returns for each item, from tasks of which few are under way."""
    import ray

    task: Any = ray.remote(_call).options(
        max_retries=RETRIES, scheduling_strategy="SPREAD", **options  # a task has no other effect
    )
    submit = partial(task.remote, ray.put(function), ray.put(folder))
    rest = iter(items)
    pending = [submit(item) for item in islice(rest, at_most)]
    try:
        while pending:
            done = pending[0] if in_order else ray.wait(pending)[0][0]
            pending.remove(done)
            result = _result(done)
            pending += [submit(item) for item in islice(rest, 1)]
            yield result
    finally:
        for one in pending:
            ray.cancel(one, force=True)


def _call(function: Callable[[Item], Result], folder: ProjectFolder, item: Item) -> Result:
    """Call a function in a worker, in the project's folder."""
    _enter(folder)
    return function(item)


def _result(reference: Any) -> Any:
    """Wait for a task's result; raise what it raised."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
        raise InputError(
            "a task ended each process of the cluster that tried it, as happens where memory is "
            "short: take machines with more, or set `compute: local` to see what it is"
        ) from None
