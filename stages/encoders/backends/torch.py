"""A PyTorch module that gives vectors: run on a GPU, or as the reference on a processor."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from stages.encoders.backends.base import CORES, Backend, Row, collected
from stages.encoders.backends.batching import AT_ONCE, Batches, Wait


class TorchNetwork:
    """A module that gives [batch, n_features]; `example` is a row.

    `size` says how many rows like a given one a batch has; where memory does not hold so many, half
    of them are tried, and so on.
    """

    def __init__(
        self, module: Any, example: Row, backend: Backend, size: Callable[[Row], int]
    ) -> None:
        import torch

        with torch.inference_mode():
            self.n_features: int = module(*_tensors(example)).shape[1]
        self.feeders = CORES
        self.ahead = 16 + AT_ONCE * size(example)
        self._module = module.to(backend.device)
        self._backend = backend
        self._batches = Batches(self._compute, size, small=backend.low_latency)
        if backend.device != "cpu":
            torch.set_num_threads(1)  # the feeders have a core each
        # In full float32, and the same numbers each time.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True

    def run(self, rows: Iterable[Row]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each row, in their order."""
        return collected(self.stream(rows), self.n_features)

    def stream(self, rows: Iterable[Row]) -> Iterator[np.ndarray]:
        """Yield float32 (k, n_features): vectors of the rows, in their order, as they are done."""
        return self._batches.stream(rows)

    def _compute(self, rows: list[Row]) -> Wait | None:
        """Start to compute a batch; see `batching.Compute`."""
        import torch

        try:
            return self._started(rows)
        except RuntimeError as error:  # of PyTorch, or of a library that it calls
            words = str(error)
            if "out of memory" not in words and "ALLOC_FAILED" not in words:
                raise
        # Here the error is gone, and with it what its frames held.
        if self._backend.device == "cuda":
            torch.cuda.empty_cache()
        return None

    def _started(self, rows: list[Row]) -> Wait:
        import torch

        device, is_bfloat16 = self._backend.device, self._backend.precision == "bfloat16"
        tensors = [self._on_device(arrays) for arrays in zip(*rows, strict=True)]
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=is_bfloat16):
            found = self._module(*tensors).float()
            if device != "cuda":
                return lambda: found.cpu().numpy()
            # Copied now: a copy that is asked for later waits for the batches before it.
            host = torch.empty(found.shape, pin_memory=True)
            host.copy_(found, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record()

        def wait() -> np.ndarray:
            copied.synchronize()
            return host.numpy()

        return wait

    def _on_device(self, arrays: Sequence[np.ndarray]) -> Any:
        """Return rows as one tensor, which a GPU may still be reading from pinned memory."""
        import torch

        is_cuda = self._backend.device == "cuda"
        shape, kind = (len(arrays), *arrays[0].shape[1:]), torch.tensor(arrays[0][:0]).dtype
        host = torch.empty(shape, dtype=kind, pin_memory=is_cuda)
        np.concatenate(arrays, out=host.numpy())
        return host.to(self._backend.device, non_blocking=is_cuda)


def taking_bytes(module: Any, table: np.ndarray) -> Any:
    """Return a module of numbers, [batch, 3, height, width], made to take bytes by a table.

    `table` is float32 of shape (3, 256). It then takes uint8 [batch, height, width, 3].
    """
    import torch

    class TakingBytes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module
            self.table: Any
            self.register_buffer("table", torch.tensor(table.ravel()))
            self.register_buffer("starts", torch.arange(3, dtype=torch.int32) * 256)

        def forward(self, images: Any) -> Any:
            places = images.int() + self.starts
            values = self.table.index_select(0, places.flatten()).view(images.shape)
            return self.module(values.permute(0, 3, 1, 2))  # channels last, as GPUs do best

    return TakingBytes()


def _tensors(row: Row) -> list[Any]:
    import torch

    return [torch.tensor(array) for array in row]
