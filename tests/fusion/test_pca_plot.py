"""The plot of products on their first two principal components."""

import numpy as np

from stages.fusion.pca_plot import principal_components


def test_products_that_have_one_number_lie_on_a_line():
    rows = np.array([[-1.0], [0.5], [1.0], [1.0]], dtype=np.float32)
    points = principal_components(rows, np.array([True, True, True, False]), 0)
    assert points.shape == (4, 2)
    assert np.ptp(points[:, 0]) == np.float32(2)
    np.testing.assert_array_equal(points[:, 1], 0)
