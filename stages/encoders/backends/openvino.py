"""Running a network by OpenVINO on the processor, one row at a time, several rows at once.

A row is never put into a batch with others: on a processor a few asynchronous requests of one row
are as fast as a batch, need no padding, and make a row's vector a function of that row alone.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from stages.common.cache import cache_folder, remove_unused
from stages.common.errors import InputError
from stages.common.files import atomic_folder
from stages.common.openvino import import_openvino, read_network
from stages.common.per_process import PerProcess
from stages.encoders.backends.base import CORES, Backend, Row, collected

MODEL_FILE = "model.xml"
MAX_CONVERTED = 12  # converted networks that are kept: those used last

# Requests that several threads make to OpenVINO at once can wait for each other for ever.
_ONE_NETWORK = PerProcess(threading.Lock)


class OpenVinoNetwork:
    """A compiled network with one output, [batch, n_features]: a vector per row."""

    # The network takes all cores: more threads would only wait for them.
    feeders = max(1, CORES // 2)
    ahead = 16 * feeders

    def __init__(self, model: Any, backend: Backend) -> None:
        self.n_features: int = model.output(0).get_partial_shape()[1].get_length()
        self._low_latency = backend.low_latency
        self._for_many = PerProcess(partial(_requests_for_many, model, backend.precision))
        self._for_one = PerProcess(partial(_request_for_one, model, backend.precision))

    def run(self, rows: Iterable[Row]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each row, in their order.

        Several threads may run networks, which wait for each other with their first rows prepared.
        """
        rows, is_one = self._begun(rows)
        with _ONE_NETWORK():
            return collected(self._run(rows, is_one), self.n_features)

    def stream(self, rows: Iterable[Row]) -> Iterator[np.ndarray]:
        """Yield float32 (1, n_features): a vector for each row, in their order.

        Rows are taken as the network gets to them, so whatever prepares them runs while it
        computes.
        """
        return self._run(*self._begun(rows))

    def _begun(self, rows: Iterable[Row]) -> tuple[Iterable[Row], bool]:
        """Return the rows, and whether all cores should compute the only one that there is."""
        if not self._low_latency:
            return rows, False
        rest = iter(rows)
        # Copied, as the next row may be made in the place of this one.
        first = [tuple(array.copy() for array in row) for row in islice(rest, 2)]
        return chain(first, rest), len(first) == 1

    def _run(self, rows: Iterable[Row], is_one: bool) -> Iterator[np.ndarray]:
        requests = (self._for_one if is_one else self._for_many)()
        pending: deque[Any] = deque()
        try:
            for i, inputs in enumerate(rows):
                if len(pending) == len(requests):
                    yield _vector(pending.popleft())
                request = requests[i % len(requests)]
                request.start_async(dict(enumerate(inputs)))
                pending.append(request)
            while pending:
                yield _vector(pending.popleft())
        finally:
            # A request that is thrown away while it computes takes the program down with it.
            for request in pending:
                request.wait()


def _requests_for_many(model: Any, precision: str) -> list[Any]:
    """Return requests that are computed side by side, a core each."""
    compiled = _compile(model, precision, "THROUGHPUT")
    # Twice as many as are computed at a time, so that the next is ready when one is done.
    count = 2 * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    return [compiled.create_infer_request() for _ in range(count)]


def _request_for_one(model: Any, precision: str) -> list[Any]:
    """Return a request that all cores compute."""
    return [_compile(model, precision, "LATENCY").create_infer_request()]


def _compile(model: Any, precision: str, hint: str) -> Any:
    # A network in int8 says itself which of its numbers are; the others are in float32.
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        "PERFORMANCE_HINT": hint,
    }
    return import_openvino().Core().compile_model(model, "CPU", settings)


def network_of(
    weights: Path, key: Callable[[], str], convert: Callable[[Path], Any]
) -> tuple[Any, Path]:
    """Return an encoder's network and the folder that keeps it.

    It is in `weights` where a model was exported or is in int8, else converted; see `converted`.
    Raises InputError where such a network is damaged.
    """
    if not (weights / MODEL_FILE).is_file():
        return converted(key(), convert)
    return exported_network(weights), weights


def exported_network(folder: Path) -> Any:
    """Read the network in a folder; raises InputError where it is damaged."""
    try:
        return read_network(folder / MODEL_FILE)
    except RuntimeError:
        raise InputError(f"{folder} holds no network that OpenVINO reads: copy it anew") from None


def converted(key: str, convert: Callable[[Path], Any]) -> tuple[Any, Path]:
    """Return a network and the folder that keeps it, converted unless it is there from before.

    `key` names all that the network depends on. `convert` returns the network, and may put files of
    its own into the folder that it is given. Of several processes, one converts and the others
    wait. The folder may be deleted at any time; those that were used last stay.
    """
    ov = import_openvino()
    networks = cache_folder() / "networks"
    folder = networks / key
    networks.mkdir(parents=True, exist_ok=True)
    with FileLock(networks / ".lock"):
        try:
            model = ov.Core().read_model(folder / MODEL_FILE)
        except RuntimeError:  # not there, or damaged
            with atomic_folder(folder) as part:
                ov.save_model(convert(part), part / MODEL_FILE, compress_to_fp16=False)
            # What is run is what is kept, so that the first run gives the bits of all others.
            model = ov.Core().read_model(folder / MODEL_FILE)
        remove_unused(folder, MAX_CONVERTED)
    return model, folder


def has_bfloat16() -> bool:
    """Return whether the processor computes in bfloat16, by AMX or AVX512_BF16."""
    capabilities = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


def _vector(request: Any) -> np.ndarray:
    """Wait for a request and return what the network made of its row, float32 (1, n_features)."""
    request.wait()
    return request.get_output_tensor(0).data.astype(np.float32)
