"""Inputs are prepared by threads, ahead and in order; no thread outlives what it works for."""

import threading
from contextlib import closing

import pytest

from stages.encoders.feed import PIECE, prepared


def feeders():
    return [thread for thread in threading.enumerate() if thread.name.startswith("feed")]


@pytest.fixture(autouse=True)
def no_thread_left():
    yield
    assert feeders() == []


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 100])
def test_what_is_prepared_comes_in_the_order_of_the_inputs(threads, count):
    assert list(prepared(str, range(count), threads, 20)) == list(map(str, range(count)))


def test_an_input_that_is_alone_starts_no_thread():
    prepared_by = list(prepared(lambda _: threading.current_thread(), ["alone"], 4, 16))
    assert prepared_by == [threading.current_thread()]


def test_several_inputs_are_prepared_at_once():
    met = threading.Barrier(3, timeout=30)  # which two threads and this one have to reach

    def prepare(i):
        if i % PIECE == 0:
            met.wait()
        return i

    given = prepared(prepare, range(2 * PIECE), 2, 2 * PIECE)
    other = threading.Thread(target=met.wait)
    other.start()
    assert list(given) == list(range(2 * PIECE))
    other.join()


def test_few_inputs_are_taken_before_they_are_asked_for():
    taken = []

    def inputs():
        for i in range(1000):
            taken.append(i)
            yield i

    with closing(prepared(str, inputs(), 2, 32)) as given:
        for i, _ in enumerate(given):
            assert len(taken) <= i + 1 + 32 + PIECE
    assert len(taken) == 1000


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("error", [ValueError("a damaged image"), KeyboardInterrupt()])
def test_an_error_is_raised_where_the_input_s_turn_is(threads, error):
    def prepare(i):
        if i == 41:
            raise error
        return i

    found = []
    with pytest.raises(type(error)), closing(prepared(prepare, range(100), threads, 64)) as given:
        for one in given:
            found.append(one)
    assert found == list(range(41 // PIECE * PIECE if threads else 41))


def test_an_error_of_the_inputs_is_raised():
    def inputs():
        yield from range(20)
        raise ValueError("the file ends early")

    with pytest.raises(ValueError, match="ends early"):
        list(prepared(str, inputs(), 2, 16))


def test_control_c_ends_the_threads():
    with pytest.raises(KeyboardInterrupt), closing(prepared(str, range(10**9), 2, 16)) as given:
        for i, _ in enumerate(given):
            if i == 100:
                raise KeyboardInterrupt


def test_a_feed_may_be_left_early():
    with closing(prepared(str, range(10**9), 2, 16)) as given:
        assert next(given) == "0"
