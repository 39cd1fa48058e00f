"""Blocks are put side by side as classifiers see them."""

import numpy as np

from stages.common.blocks import concatenate


def test_blocks_are_put_side_by_side_in_the_order_of_their_weights():
    X = {"b": np.full((2, 1), 8, np.float32), "a": np.full((2, 2), 2, np.float32)}
    found = concatenate(X, {"a": 0.5, "b": 0.25})
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[1, 1, 2], [1, 1, 2]])
