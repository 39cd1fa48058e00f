"""PyTorch's batches, with the processor in a GPU's place: vectors, shapes, memory."""

import numpy as np
import pytest
import torch

from stages.common.errors import InputError
from stages.encoders.backends.base import Backend
from stages.encoders.backends.torch import TorchNetwork, taking_bytes

CPU = Backend("torch", "float32")
ROW = (np.zeros((1, 4), dtype=np.uint8),)


class Sums(torch.nn.Module):
    """The sum of each row's numbers and its first; memory holds `room` rows."""

    def __init__(self, room, words="CUDA out of memory. Tried to allocate 2.00 GiB"):
        super().__init__()
        self.room = room
        self.words = words
        self.sizes = []

    def forward(self, rows):
        if len(rows) > self.room:
            raise torch.OutOfMemoryError(self.words)
        self.sizes.append(len(rows))
        return torch.stack([rows.float().sum(1), rows[:, 0].float()], dim=1)


def rows(count):
    return [(np.array([[i, 1, 2, 3]], dtype=np.uint8),) for i in range(count)]


@pytest.mark.parametrize("words", ["CUDA out of memory.", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"])
def test_out_of_memory_halves_the_batch_and_goes_on(words):
    module = Sums(20, words)
    network = TorchNetwork(module, ROW, CPU, lambda row: 64)
    found = network.run(rows(100))
    assert found.dtype == np.float32
    assert found.tolist() == [[i + 6, i] for i in range(100)]
    assert set(module.sizes) == {1, 16}  # one to find out the number of features


def test_a_network_that_does_not_fit_at_all_is_said():
    module = Sums(1)
    network = TorchNetwork(module, ROW, CPU, lambda row: 64)
    module.room = 0  # as another process has taken it
    with pytest.raises(InputError, match="backend: openvino"):
        network.run(rows(3))


def test_another_error_of_the_network_is_raised_as_it_is():
    class Broken(Sums):
        def forward(self, rows):
            if len(rows) > 1:
                raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
            return super().forward(rows)

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        TorchNetwork(Broken(64), ROW, CPU, lambda row: 64).run(rows(3))


def test_no_rows_have_no_vectors():
    assert TorchNetwork(Sums(64), ROW, CPU, lambda row: 64).run([]).shape == (0, 2)


def test_low_latency_computes_no_more_rows_than_there_are():
    module = Sums(64)
    backend = Backend("torch", "float32", low_latency=True)
    network = TorchNetwork(module, ROW, backend, lambda row: 64)
    for count in (1, 3):
        assert len(network.run(rows(count))) == count
    assert module.sizes == [1, 1, 4]


def test_a_table_on_the_device_gives_its_numbers_to_the_bit():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(3, 256)).astype(np.float32)
    images = rng.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    found = taking_bytes(torch.nn.Identity(), table)(torch.from_numpy(images)).numpy()
    wanted = np.stack([table[i][images[..., i]] for i in range(3)], axis=1)
    assert np.array_equal(found, wanted)
