"""Running a network: OpenVINO on the processor, one row at a time, several rows under way.

A row is never put into a batch with others: on a processor a few asynchronous requests of one row
are as fast as a batch, need no padding, and make a row's vector a function of that row alone.
"""

import sys
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

# OpenVINO's converter tells Google Analytics of each use, unless it finds no package to do so.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino as ov  # noqa: E402

__all__ = ["Network", "ov"]

# What the reference frameworks compute in; OpenVINO would choose bfloat16 where there is some.
_SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}


class Network:
    """A compiled network with one output, [batch, size]: a vector per row."""

    def __init__(self, model: ov.Model) -> None:
        self.size: int = model.output(0).get_partial_shape()[1].get_length()
        self._compiled = ov.Core().compile_model(model, "CPU", _SETTINGS)
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


def _vector(request: ov.InferRequest) -> np.ndarray:
    """Wait for a request and return what the network made of its row."""
    request.wait()
    return request.get_output_tensor(0).data[0].astype(np.float32)
