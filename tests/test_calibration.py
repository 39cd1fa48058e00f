"""What is learnt of models' probabilities is what is known of them beforehand."""

import numpy as np
import pytest

from stages.calibration import fit_pool, fit_temperature, pooled, tempered


def softmax(scores: np.ndarray) -> np.ndarray:
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def drawn(odds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a label's column for each row of probabilities."""
    return (odds.cumsum(axis=1) > rng.random((len(odds), 1))).argmax(axis=1)


def opinions(views: int, n: int = 20_000) -> tuple[list[np.ndarray], np.ndarray]:
    """Return what is to be believed after each of several independent looks, and the truth."""
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=n)
    # A look is a normal number per class, higher by 1 for the true one: its odds are its softmax.
    return [softmax(np.eye(4)[truth] + rng.normal(size=(n, 4))) for _ in range(views)], truth


def loss(probabilities: np.ndarray, truth: np.ndarray) -> float:
    return -float(np.log(probabilities[np.arange(len(truth)), truth]).mean())


@pytest.mark.parametrize("wanted", [0.25, 1.0, 4.0])
def test_the_temperature_under_which_labels_were_drawn_is_found(wanted):
    rng = np.random.default_rng(0)
    scores = 2 * rng.normal(size=(20_000, 4))
    truth = drawn(softmax(scores / wanted), rng)
    probabilities = softmax(scores)
    found = fit_temperature(probabilities, truth)
    assert found == pytest.approx(wanted, rel=0.05)
    np.testing.assert_allclose(tempered(probabilities, wanted), softmax(scores / wanted), atol=1e-5)


def test_a_temperature_keeps_the_order_of_classes():
    probabilities = softmax(np.random.default_rng(0).normal(size=(100, 5)))
    sharp, soft = tempered(probabilities, 0.1), tempered(probabilities, 10)
    for rows in (sharp, soft):
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
        assert (rows.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert (sharp.max(axis=1) > probabilities.max(axis=1)).all()
    assert (soft.max(axis=1) < probabilities.max(axis=1)).all()


def test_a_class_that_was_held_for_impossible_stays_finite():
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]], dtype=np.float32)
    truth = np.array([1, 1, 0, 0])
    found = fit_temperature(probabilities, truth)
    assert np.isfinite(loss(tempered(probabilities, found), truth))
    assert loss(tempered(probabilities, found), truth) < loss(tempered(probabilities, 1), truth)
    weights = fit_pool([probabilities, probabilities[::-1]], truth)
    assert np.isfinite(pooled([probabilities, probabilities[::-1]], weights)).all()


def test_independent_opinions_count_in_full():
    models, truth = opinions(2)
    weights = fit_pool(models, truth)
    assert weights == pytest.approx([1, 1], abs=0.05)
    joined = loss(pooled(models, weights), truth)
    assert joined < min(loss(rows, truth) for rows in models) - 0.1


def test_an_opinion_given_twice_counts_once():
    (model,), truth = opinions(1)
    assert sum(fit_pool([model, model], truth)) == pytest.approx(1, abs=0.05)


def test_noise_gets_about_no_weight():
    (model,), truth = opinions(1)
    noise = softmax(2 * np.random.default_rng(1).normal(size=model.shape))
    assert fit_pool([noise, model], truth) == pytest.approx([0, 1], abs=0.05)
    assert fit_pool([model, noise], truth) == pytest.approx([1, 0], abs=0.05)


def test_an_opinion_against_the_truth_is_left_out_and_not_turned_round():
    (model,), truth = opinions(1)
    against = softmax(-np.log(model))
    weights = fit_pool([model, against], truth)
    assert min(weights) >= 0
    assert loss(pooled([model, against], weights), truth) <= loss(model, truth) + 1e-4


def test_a_pool_that_trusts_one_model_says_what_it_says():
    models, _ = opinions(2, n=50)
    one = pooled(models, [1, 0])
    assert one.dtype == np.float32
    np.testing.assert_allclose(one, models[0], atol=1e-6)
    np.testing.assert_allclose(pooled(models, [0, 0]), 0.25, atol=1e-6)
