"""Vectors of a tuned network are computed once, and are the same from the cache."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from stages.classifiers.base.vector_cache import WRITE_BATCH, CachedNetwork

TEXTS = [f"product {number}" for number in range(3 * WRITE_BATCH)]


class Network:
    """A network of two features that counts its inputs, and ends in an error after `most`."""

    n_features = 2

    def __init__(self, most: int = 10**6) -> None:
        self.seen: list[str | bytes] = []
        self._most = most

    def encode(self, inputs):
        self.seen += inputs
        if len(self.seen) > self._most:
            raise KeyboardInterrupt
        return np.array([[len(one), sum(map(ord, str(one)))] for one in inputs], dtype=np.float32)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "network"


def test_an_input_is_computed_once_in_all_runs(folder):
    first, second = Network(), Network()
    wanted = Network().encode(TEXTS)
    found = CachedNetwork(first, folder).encode([*TEXTS, *TEXTS])
    np.testing.assert_array_equal(found, np.vstack([wanted, wanted]))
    found = CachedNetwork(second, folder).encode([*TEXTS[::-1], "another"])
    assert first.seen == TEXTS and second.seen == ["another"]
    np.testing.assert_array_equal(found[:-1], wanted[::-1])


def test_one_that_is_missing_has_zeros_and_images_are_told_apart(folder):
    network = CachedNetwork(Network(), folder)
    for _ in range(2):
        found = network.encode(["", b"an image", "", b"another image"])
        assert found[[0, 2]].tolist() == [[0, 0], [0, 0]]
        assert found[[1, 3], 0].tolist() == [8, 13]
    assert network.encode([]).shape == (0, 2)


def test_a_run_that_was_ended_goes_on_from_what_it_wrote(folder):
    first, second = Network(2 * WRITE_BATCH), Network()
    with pytest.raises(KeyboardInterrupt):
        CachedNetwork(first, folder).encode(TEXTS)
    found = CachedNetwork(second, folder).encode(TEXTS)
    assert second.seen == TEXTS[2 * WRITE_BATCH :]
    np.testing.assert_array_equal(found, Network().encode(TEXTS))


def test_without_a_place_to_keep_them_all_are_computed(folder):
    network = CachedNetwork(Network(), folder)
    wanted = network.encode(TEXTS)
    shutil.rmtree(folder)  # as another process may
    np.testing.assert_array_equal(network.encode(TEXTS), wanted)
    shutil.rmtree(folder)
    folder.write_text("no folder")
    np.testing.assert_array_equal(network.encode(TEXTS), wanted)
