"""A run that ends early leaves the vectors that it computed; none are computed again."""

import os
import signal
import subprocess
import sys
from itertools import islice

import numpy as np
import pyarrow as pa
import pytest
from helpers.repository import TOP

from stages.common.kv_store import SqliteCache
from stages.encoders.embedding_cache import PARTS, CachedEncoder, Part

TEXTS = [f"text {i:03}" for i in range(90)]


class Counter:
    """An encoder that streams each text's number, and stops where it is told."""

    n_features = 1

    def __init__(self, stop=None, how=None):
        self.seen = []
        self.stop = stop
        self.how = how

    def encode(self, batch):
        raise NotImplementedError

    def stream(self, inputs, opened):
        for text in map(opened, inputs):
            if len(self.seen) == self.stop:
                self.how()
            self.seen.append(text)
            yield np.array([[text[5:]]], dtype=np.float32)


def encoded(encoder, path, write_s=3600.0, progress=lambda count: None):
    with SqliteCache(path) as cache:
        cached = CachedEncoder(encoder, "counter", cache, write_s=write_s)
        [(_, vectors)] = cached.encode([part_of(TEXTS)], progress)
        return vectors


def part_of(texts):
    return Part(pa.chunked_array([texts], pa.string()), texts, texts)


@pytest.mark.parametrize("numbers", ["float64", "float16", "int64"])
def test_vectors_of_other_numbers_are_the_same_from_the_cache(tmp_path, numbers):
    class Other:
        n_features = 2

        def encode(self, batch):
            return np.array([[int(text[5:]), 3] for text in batch], dtype=numbers)

    first, again = (encoded(Other(), tmp_path / "rows") for _ in range(2))
    assert first.tolist() == again.tolist() == [[number, 3] for number in range(90)]


def interrupt():
    raise KeyboardInterrupt


def test_an_interrupt_loses_no_vector(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        encoded(Counter(50, interrupt), tmp_path / "rows")
    rest = Counter()
    assert encoded(rest, tmp_path / "rows").ravel().tolist() == list(range(90))
    assert len(rest.seen) == 40


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_loses_the_vectors_since_the_last_write(tmp_path):
    script = f"""
import sys
from itertools import islice
sys.path.insert(0, {str(TOP / "tests")!r})
from pathlib import Path
from encoders.test_embedding_cache import Counter, encoded, kill
encoded(Counter(50, kill), Path({str(tmp_path / "rows")!r}), write_s=0.0)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=TOP, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    rest = Counter()
    encoded(rest, tmp_path / "rows")
    assert len(rest.seen) == 40


def test_progress_is_told_of_each_vector_as_it_comes(tmp_path):
    told = []
    encoder = Counter()

    def progress(count):
        told.append((count, len(encoder.seen)))

    encoded(encoder, tmp_path / "rows", progress=progress)
    assert told == [(1, i + 1) for i in range(90)]


class Short(Counter):
    """An encoder that forgets one."""

    def stream(self, inputs, opened):
        yield from list(super().stream(inputs, opened))[1:]


def test_a_vector_too_few_is_no_silent_shift(tmp_path):
    with pytest.raises(ValueError, match="fewer vectors than it got inputs"):
        encoded(Short(), tmp_path / "rows")


class Forgetful:
    """An encoder of batches that leaves out one text."""

    n_features = 1

    def encode(self, batch):
        kept = [text for text in batch if text != TEXTS[5]]
        return np.array([[text[5:]] for text in kept], dtype=np.float32)


def test_a_batch_with_a_vector_too_few_leaves_no_shifted_vectors_for_the_next_run(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match=r"the encoder returned .*vectors"):
            encoded(Forgetful(), tmp_path / "rows")
    assert encoded(Counter(), tmp_path / "rows").ravel().tolist() == list(range(90))


class Batches(Counter):
    """An encoder that gives a batch's vectors when it has taken all texts of the next."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def stream(self, inputs, opened):
        waiting = []
        for rows in batched(super().stream(inputs, opened), self.size):
            yield from waiting
            waiting = [np.concatenate(rows)]
        yield from waiting


def batched(rows, size):
    rest = iter(rows)
    while batch := list(islice(rest, size)):
        yield batch


@pytest.fixture
def cached(tmp_path):
    """A function that wraps an encoder in a cache of the test's own."""
    with SqliteCache(tmp_path / "rows") as cache:
        yield lambda encoder, write_s=3600.0: CachedEncoder(
            encoder, "counter", cache, write_s=write_s
        )


def numbers(found):
    return [[text[5:] for text in part.inputs] == rows(vectors) for part, vectors in found]


def rows(vectors):
    return [f"{int(value):03}" for value in vectors.ravel()]


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
@pytest.mark.parametrize("known", [0, 13, 90])
def test_parts_come_whole_and_in_order_whatever_the_batches(cached, size, known):
    parts = [part_of(TEXTS[i : i + 9]) for i in range(0, 90, 9)]
    list(cached(Counter()).encode([part_of(TEXTS[::-1][:known])], lambda count: None))
    encoder, done = Batches(size), []
    found = list(cached(encoder).encode(parts, done.append))
    assert [part for part, _ in found] == parts
    assert all(numbers(found))
    assert sorted(encoder.seen) == TEXTS[: 90 - known]
    assert sum(done) == 90


def test_a_batch_has_texts_of_two_parts(cached):
    """So nothing waits for the end of a part."""
    encoder = Batches(8)
    found = cached(encoder).encode(map(part_of, (TEXTS[:5], TEXTS[5:40])), lambda count: None)
    part, _ = next(found)
    assert part.inputs == TEXTS[:5]
    assert len(encoder.seen) == 16


def test_a_text_that_another_part_waits_for_is_computed_once(cached):
    encoder = Batches(1000)
    one = cached(encoder)
    found = list(one.encode(map(part_of, (TEXTS[:5], TEXTS[3:8], TEXTS[:8])), lambda count: None))
    assert encoder.seen == TEXTS[:8]
    assert all(numbers(found))
    assert (one.computed, one.cache_hits) == (8, 10)


def test_a_text_is_found_that_was_computed_and_not_yet_written(cached):
    encoder = Batches(1)
    parts = map(part_of, (TEXTS[:5], TEXTS[5:10], TEXTS[:5]))
    assert all(numbers(cached(encoder).encode(parts, lambda count: None)))
    assert encoder.seen == TEXTS[:10]


@pytest.mark.parametrize(("known", "most"), [(90, 1), (0, PARTS)])
def test_few_parts_are_in_memory(cached, known, most):
    """One where all is in the cache, however far ahead the encoder would read."""
    list(cached(Counter()).encode([part_of(TEXTS[:known])], lambda count: None))
    taken = []

    def parts():
        for i in range(0, 90, 3):
            taken.append(i)
            yield part_of(TEXTS[i : i + 3])

    for given, _ in enumerate(cached(Batches(1000)).encode(parts(), lambda count: None)):
        assert len(taken) - given <= most
    assert len(taken) == 30


def test_what_was_computed_is_kept_where_the_tables_are_not_taken(cached):
    found = cached(Batches(4)).encode(map(part_of, (TEXTS[:5], TEXTS[5:])), lambda count: None)
    next(found)
    found.close()
    rest = Counter()
    list(cached(rest).encode([part_of(TEXTS)], lambda count: None))
    assert len(rest.seen) < 90
