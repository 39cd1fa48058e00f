"""Running a network: OpenVINO on the processor, one row at a time, several rows under way.

A row is never put into a batch with others: on a processor two asynchronous requests of one row are
as fast as a batch, need no padding, and make a row's vector a function of that row alone.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import openvino as ov

from stages.errors import InputError

# What the reference frameworks compute in; OpenVINO would choose bfloat16 where there is some.
_SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}


class Network:
    """A compiled network with one output: a vector per row."""

    def __init__(self, model: ov.Model) -> None:
        shape = model.output(0).get_partial_shape()
        if len(model.outputs) != 1 or len(shape) != 2 or shape[1].is_dynamic:
            raise InputError(
                f"the network's output is {[str(o.get_partial_shape()) for o in model.outputs]}: "
                f"it must be one vector of fixed size per row, [batch, size]"
            )
        self.size: int = shape[1].get_length()
        self._compiled = ov.Core().compile_model(model, "CPU", _SETTINGS)

    def run(self, rows: Iterable[tuple[np.ndarray, ...]]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each row, in their order.

        A row is the network's inputs, each an array with a first axis of 1. Rows are taken as the
        network gets to them, so whatever prepares them runs while it computes.
        """
        queue = ov.AsyncInferQueue(self._compiled)
        done: dict[int, np.ndarray] = {}

        def keep(request: Any, at: int) -> None:
            done[at] = request.get_output_tensor(0).data[0].astype(np.float32)

        queue.set_callback(keep)
        given = taken = 0
        for inputs in rows:
            queue.start_async(dict(enumerate(inputs)), given)
            given += 1
            while taken in done:
                yield done.pop(taken)
                taken += 1
        queue.wait_all()
        for at in range(taken, given):
            yield done.pop(at)
