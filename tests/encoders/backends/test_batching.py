"""Rows share a batch with rows of their shape, and too large a batch is tried again in halves."""

import numpy as np
import pytest

from stages.common.errors import InputError
from stages.encoders.backends.batching import Batches


class Doubler:
    """Doubles the first number of each row; its memory holds `room` rows."""

    def __init__(self, room=10**6):
        self.room = room
        self.sizes = []
        self.most_at_once = self.at_once = 0

    def compute(self, rows):
        assert len({row[0].shape for row in rows}) == 1
        if len(rows) > self.room:
            return None
        self.sizes.append(len(rows))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        found = np.array([[2 * row[0][0, 0]] for row in rows], dtype=np.float32)

        def wait():
            self.at_once -= 1
            return found

        return wait


def rows(count, lengths=(3,)):
    return [(np.full((1, lengths[i % len(lengths)]), i),) for i in range(count)]


def streamed(batches, given):
    parts = list(batches.stream(iter(given)))
    return np.concatenate(parts).ravel().tolist() if parts else []


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100])
@pytest.mark.parametrize("lengths", [(3,), (3, 4), (3, 3, 3, 3, 3, 5)])
def test_vectors_come_in_the_order_of_the_rows(count, lengths):
    network = Doubler()
    found = streamed(Batches(network.compute, lambda row: 8), rows(count, lengths))
    assert found == [2 * i for i in range(count)]
    assert set(network.sizes) <= {8}


def test_a_batch_is_computed_while_the_vectors_of_another_are_used():
    network = Doubler()
    assert len(streamed(Batches(network.compute, lambda row: 8), rows(100))) == 100
    assert network.most_at_once == 2


def test_a_batch_of_long_rows_has_fewer():
    network = Doubler()
    given = [*rows(16, (2,)), *rows(16, (8,))]
    streamed(Batches(network.compute, lambda row: 16 // row[0].shape[1]), given)
    assert network.sizes == [8, 8, *[2] * 8]


def test_a_rare_shape_does_not_hold_the_others_back():
    def given():
        yield (np.zeros((1, 5)),)
        yield from rows(100)
        pytest.fail("no vector was given before the last row was taken")

    found = Batches(Doubler().compute, lambda row: 8).stream(given())
    assert sum(len(next(found)) for _ in range(4)) >= 25


def test_a_last_batch_may_be_small_where_its_bits_may_be_others():
    network = Doubler()
    for count in (1, 3, 8, 21):
        assert len(streamed(Batches(network.compute, lambda row: 8, small=True), rows(count)))
    assert network.sizes == [1, 4, 8, 8, 8, 8]


def test_a_batch_that_memory_does_not_hold_is_tried_in_halves():
    network = Doubler(room=5)
    batches = Batches(network.compute, lambda row: 16)
    assert streamed(batches, rows(37)) == [2 * i for i in range(37)]
    assert set(network.sizes) == {4}
    streamed(batches, rows(4))
    assert network.sizes[-1] == 4  # as it is found once


def test_a_row_that_memory_does_not_hold_is_said():
    with pytest.raises(InputError, match=r"does not hold .* one input: .* `backend: openvino`"):
        streamed(Batches(Doubler(room=0).compute, lambda row: 16), rows(3))
