"""A run that ends early leaves the vectors that it computed; none are computed again."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers.repository import TOP

from stages.common.kv_store import SqliteCache
from stages.encoders.embedding_cache import CachedEncoder

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
        return cached.encode(TEXTS, TEXTS, progress)


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
