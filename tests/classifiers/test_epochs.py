"""What classifiers that are trained in epochs share."""

import numpy as np

from stages.classifiers.base.epochs import judge, sample_weights


def test_class_weights_are_the_inverse_of_the_classes_frequencies_or_of_their_roots():
    y = np.array(["b", "a", "b", "b", "b"])
    np.testing.assert_allclose(sample_weights(y, "balanced"), [5 / 8, 5 / 2, 5 / 8, 5 / 8, 5 / 8])
    roots = sample_weights(y, "sqrt")
    np.testing.assert_allclose(roots[1] / roots[0], 2, rtol=1e-6)
    np.testing.assert_allclose(roots.mean(), 1, rtol=1e-6)
    np.testing.assert_array_equal(sample_weights(y, None), [1] * 5)


def test_products_of_classes_that_are_not_known_are_not_judged():
    X, y = {"b": np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])}, np.array(["a", "a", "new"])
    loss, accuracy = judge(lambda X: X["b"], ["a", "c"], X, y)
    np.testing.assert_allclose(loss, -np.log([0.9, 0.2]).mean())
    assert accuracy == 0.5
