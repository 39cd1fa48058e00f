"""Blocks are put side by side as classifiers see them, and their centring can be undone."""

import numpy as np

from stages.common.blocks import concatenate, uncentred


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_blocks_are_put_side_by_side_in_the_order_of_their_weights():
    X = {"b": np.full((2, 1), 8, np.float32), "a": np.full((2, 2), 2, np.float32)}
    found = concatenate(X, {"a": 0.5, "b": 0.25})
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[1, 1, 2], [1, 1, 2]])


def test_vectors_that_were_centred_are_found_again():
    rng = np.random.default_rng(0)
    for offset in (0, 1, 5):  # from vectors all around to such as nearly coincide
        rows = unit(offset + rng.normal(size=(50, 8))).astype(np.float32)
        mean = rows[:30].mean(axis=0)
        found = uncentred(unit(rows - mean), mean)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, rows, atol=1e-5)
    np.testing.assert_array_equal(uncentred(np.zeros((1, 8), np.float32), mean), np.zeros((1, 8)))
