"""Running a network by OpenVINO on the processor, one row at a time, several rows under way.

A row is never put into a batch with others: on a processor a few asynchronous requests of one row
are as fast as a batch, need no padding, and make a row's vector a function of that row alone.
"""

import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock

from stages.common.cache import cache_folder
from stages.common.files import atomic_folder
from stages.encoders.backends.selection import Backend

# OpenVINO's converter tells Google Analytics of each use, unless it finds no package to do so.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino as ov  # noqa: E402

__all__ = ["OpenVinoNetwork", "converted", "has_bfloat16", "ov"]

MODEL_FILE = "model.xml"
KEPT = 12  # converted networks: those used last


class OpenVinoNetwork:
    """A compiled network with one output, [batch, size]: a vector per row."""

    def __init__(self, model: ov.Model, engine: Backend) -> None:
        self.size: int = model.output(0).get_partial_shape()[1].get_length()
        precision = {"float32": "f32", "bfloat16": "bf16"}[engine.precision]
        settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
        self._compiled = ov.Core().compile_model(model, "CPU", settings)
        # Twice as many as are computed at a time, so that the next is ready when one is done.
        self._requests = 2 * self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")

    def run(self, rows: Iterable[tuple[np.ndarray, ...]]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each row, in their order.

        A row is the network's inputs, each an array with a first axis of 1. Rows are taken as the
        network gets to them, so whatever prepares them runs while it computes.
        """
        requests = [self._compiled.create_infer_request() for _ in range(self._requests)]
        under_way: deque[ov.InferRequest] = deque()
        try:
            for at, inputs in enumerate(rows):
                if len(under_way) == len(requests):
                    yield _vector(under_way.popleft())
                request = requests[at % len(requests)]
                request.start_async(dict(enumerate(inputs)))
                under_way.append(request)
            while under_way:
                yield _vector(under_way.popleft())
        finally:
            # A request that is thrown away while it computes takes the program down with it.
            for request in under_way:
                request.wait()


def converted(key: str, convert: Callable[[Path], ov.Model]) -> tuple[ov.Model, Path]:
    """Return a network and the folder that keeps it, converted unless it is there from before.

    `key` names all that the network depends on. `convert` gives the network, and may put files of
    its own into the folder that it is given. Of several processes, one converts and the others
    wait. The folder may be deleted at any time; those that were used last stay.
    """
    networks = cache_folder() / "networks"
    folder = networks / key
    with FileLock(networks / ".lock"):
        try:
            model = ov.Core().read_model(folder / MODEL_FILE)
        except RuntimeError:  # not there, or damaged
            with atomic_folder(folder) as part:
                ov.save_model(convert(part), part / MODEL_FILE, compress_to_fp16=False)
            # What is run is what is kept, so that the first run gives the bits of all others.
            model = ov.Core().read_model(folder / MODEL_FILE)
        folder.touch()
        by_use = sorted(networks.glob("[!.]*"), key=lambda found: found.stat().st_mtime_ns)
        for old in by_use[:-KEPT]:
            shutil.rmtree(old)
    return model, folder


def has_bfloat16() -> bool:
    """Say whether the processor computes in bfloat16, by AMX or AVX512_BF16."""
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _vector(request: ov.InferRequest) -> np.ndarray:
    """Wait for a request and return what the network made of its row."""
    request.wait()
    return request.get_output_tensor(0).data[0].astype(np.float32)
