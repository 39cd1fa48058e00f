"""Which items go into one batch, and that each caller gets its own answers."""

import asyncio
import threading
import time

import pytest

from serving.server.batching import Batcher
from stages.common.errors import UnavailableError


class Held:
    """Computes squares when `gate` is open, and keeps the batches that it got."""

    def __init__(self):
        self.batches, self.gate, self.begun = [], threading.Event(), threading.Event()

    def __call__(self, items, options):
        self.batches.append((list(items), options))
        self.begun.set()
        assert self.gate.wait(60)
        if None in items:
            raise ValueError("None has no square")
        if 13 in items:
            raise UnavailableError("the endpoint does not answer")
        return [item * item for item in items]


def run(*jobs, size=8, cancel=()):
    """Run the first job, and the others when it has begun; return all answers and the batches."""
    held = Held()

    async def main():
        batcher = Batcher(held, size=size)
        batcher.start()
        first = asyncio.create_task(batcher.run(*jobs[0]))
        while not held.begun.is_set():
            await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.run(*job)) for job in jobs[1:]]
        await asyncio.sleep(0.01)
        for number in cancel:
            others[number].cancel()
        held.gate.set()
        found = await asyncio.gather(first, *others, return_exceptions=True)
        await batcher.stop()
        return found

    return asyncio.run(main()), held.batches


def test_the_first_starts_at_once_and_those_that_come_meanwhile_are_one_batch():
    found, batches = run(([1], "a"), ([2, 3], "a"), ([4], "a"), ([5], "a"))
    assert found == [[1], [4, 9], [16], [25]]
    assert batches == [([1], "a"), ([2, 3, 4, 5], "a")]


def test_a_batch_is_no_larger_than_its_size_and_keeps_the_order():
    _, batches = run(([0], "a"), *(([n], "a") for n in range(1, 20)), size=8)
    assert [len(items) for items, _ in batches] == [1, 8, 8, 3]
    assert [item for items, _ in batches for item in items] == list(range(20))


def test_other_options_are_another_batch_and_have_their_turn():
    found, batches = run(([0], "a"), ([1], "b"), ([2], "a"), ([3], "b"), ([4], "a"))
    assert batches == [([0], "a"), ([1, 3], "b"), ([2, 4], "a")]
    assert found == [[0], [1], [4], [9], [16]]


def test_an_error_is_raised_for_its_own_items_alone():
    found, _ = run(([1], "a"), ([2], "a"), ([None], "a"), ([3], "a"))
    assert [found[0], found[1], found[3]] == [[1], [4], [9]]
    with pytest.raises(ValueError, match="no square"):
        raise found[2]


def test_what_is_not_there_now_is_not_asked_again_item_by_item():
    found, batches = run(([1], "a"), ([2], "a"), ([13], "a"), ([3], "a"))
    assert [len(items) for items, _ in batches] == [1, 3]
    assert found[0] == [1]
    assert {type(one) for one in found[1:]} == {UnavailableError}


def test_what_is_cancelled_is_not_computed():
    found, batches = run(([1], "a"), ([2], "a"), ([3], "a"), cancel=[0])
    assert isinstance(found[1], asyncio.CancelledError)
    assert batches == [([1], "a"), ([3], "a")]


def test_a_batch_has_as_many_items_as_take_its_time_but_never_few():
    def compute(items, _):
        time.sleep(0.01 * len(items))
        return items

    async def main():
        batcher = Batcher(compute, size=100, batch_s=0.3)
        batcher.start()
        rooms = [batcher.room]
        for batch_s in (0.3, 0.001, 1000):
            batcher._batch_s = batch_s
            await batcher.run([0] * 4, "a")
            rooms.append(batcher.room)
        await batcher.stop()
        return rooms

    first, some, few, all_ = asyncio.run(main())
    assert (first, few, all_) == (8, 8, 100)
    assert 8 < some <= 30
