"""What is learnt of models' probabilities is what is known of them beforehand."""

import numpy as np
import pytest

from stages.fusion.calibration import LogOpinionPool, fit_pool


def softmax(scores: np.ndarray) -> np.ndarray:
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def drawn(odds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a label's column for each row of probabilities."""
    return (odds.cumsum(axis=1) > rng.random((len(odds), 1))).argmax(axis=1)


def opinions(looks: int, n: int = 20_000) -> tuple[list[np.ndarray], np.ndarray]:
    """Return what is to be believed after each of several independent looks, and the truth."""
    rng = np.random.default_rng(0)
    y_true = rng.integers(4, size=n)
    # A look is a normal number per class, higher by 1 for the true one: its odds are its softmax.
    return [softmax(np.eye(4)[y_true] + rng.normal(size=(n, 4))) for _ in range(looks)], y_true


EVEN = np.full(4, 0.25)


def fit_and_pool(models: list[np.ndarray], y_true: np.ndarray) -> tuple[list[float], np.ndarray]:
    """Return the weights of models of four classes as frequent as each other, and their pool."""
    named = {f"model {i}": rows for i, rows in enumerate(models)}
    pool = fit_pool(named, y_true, EVEN)
    return list(pool.weights.values()), pool.predict_proba(named)


def loss(probabilities: np.ndarray, y_true: np.ndarray) -> float:
    return -float(np.log(probabilities[np.arange(len(y_true)), y_true]).mean())


@pytest.mark.parametrize("wanted", [0.25, 1.0, 4.0])
def test_the_temperature_under_which_labels_were_drawn_is_found(wanted):
    rng = np.random.default_rng(0)
    scores = 2 * rng.normal(size=(20_000, 4))
    y_true = drawn(softmax(scores / wanted), rng)
    (weight,), found = fit_and_pool([softmax(scores)], y_true)
    assert 1 / weight == pytest.approx(wanted, rel=0.05)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, softmax(scores / wanted), atol=0.03)
    known = LogOpinionPool({"model": 1 / wanted}, 0, EVEN.tolist()).predict_proba(
        {"model": softmax(scores)}
    )
    np.testing.assert_allclose(known, softmax(scores / wanted), atol=1e-5)


def test_a_temperature_keeps_the_order_of_classes():
    probabilities = softmax(np.random.default_rng(0).normal(size=(100, 4)))
    sharp, soft = (
        LogOpinionPool({"model": weight}, 0.0, [0.7, 0.1, 0.1, 0.1]).predict_proba(
            {"model": probabilities}
        )
        for weight in (10, 0.1)
    )
    for rows in (sharp, soft):
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
        assert (rows.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert (sharp.max(axis=1) > probabilities.max(axis=1)).all()
    assert (soft.max(axis=1) < probabilities.max(axis=1)).all()


def test_how_far_a_model_leans_towards_frequent_classes_is_found_and_taken_back():
    rng = np.random.default_rng(0)
    frequencies = np.array([0.7, 0.2, 0.07, 0.03])
    scores = 2 * rng.normal(size=(20_000, 4)) + np.log(frequencies)
    y_true = drawn(softmax(scores), rng)
    leaning = {"model": softmax(scores + 0.8 * np.log(frequencies))}
    pool = fit_pool(leaning, y_true, frequencies)
    assert pool.prior_exponent == pytest.approx(0.8, abs=0.05)
    assert pool.weights["model"] == pytest.approx(1, abs=0.05)
    right = pool.predict_proba(leaning)
    np.testing.assert_allclose(right, softmax(scores), atol=0.03)
    assert (right.argmax(axis=1) == y_true).mean() > (
        leaning["model"].argmax(axis=1) == y_true
    ).mean()


@pytest.mark.parametrize("n", [8, 20, 40])
def test_few_labels_none_of_which_surprises_make_no_pool_sure_of_everything(n):
    rng = np.random.default_rng(0)
    rows = np.full((20_000, 4), 0.1 / 3)
    rows[:, 0] = 0.9
    y_true = drawn(rows, rng)
    surprising_none = {"model": rows[:n]}
    pool = fit_pool(surprising_none, np.zeros(n, dtype=np.int64), EVEN)
    assert loss(pool.predict_proba({"model": rows}), y_true) < 1.5 * loss(rows, y_true)


def test_a_class_that_was_held_for_impossible_stays_finite():
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]], dtype=np.float32)
    models, even = {"one": probabilities}, np.array([0.5, 0.5])
    y_true = np.array([1, 1, 0, 0])
    found = fit_pool(models, y_true, even).predict_proba(models)
    as_given = LogOpinionPool({"one": 1.0}, 0.0, [0.5, 0.5]).predict_proba(models)
    assert np.isfinite(loss(found, y_true))
    assert loss(found, y_true) < loss(as_given, y_true)
    models["other"] = probabilities[::-1]
    assert np.isfinite(fit_pool(models, y_true, even).predict_proba(models)).all()


def test_a_class_that_the_models_never_met_stays_all_but_impossible():
    rows = {"model": np.array([[0.5, 0.5, 0.0]])}
    for prior_exponent in (-2.0, 2.0):
        pool = LogOpinionPool({"model": 1.0}, prior_exponent, [0.9, 0.1, 0.0])
        assert pool.predict_proba(rows)[0, 2] < 1e-5


def test_of_classes_that_it_was_fitted_on_a_pool_rules_out_none():
    rows = {"one": np.array([[1.0, 1e-30, 0.0]], dtype=np.float32)}
    found = LogOpinionPool({"one": 9.0}, 0.0, [0.6, 0.4, 0.0]).predict_proba(rows)
    assert found[0, 0] == 1
    assert found[0, 1] > 0
    assert found[0, 2] == 0


def test_independent_opinions_count_in_full():
    models, y_true = opinions(2)
    weights, joined = fit_and_pool(models, y_true)
    assert weights == pytest.approx([1, 1], abs=0.05)
    assert loss(joined, y_true) < min(loss(rows, y_true) for rows in models) - 0.1


def test_only_many_labels_lead_away_from_the_main_model():
    models, y_true = opinions(looks=2)
    named = dict(zip(("main", "other"), models, strict=True))
    few = {name: rows[:20] for name, rows in named.items()}
    by_few = fit_pool(few, y_true[:20], EVEN, "main").weights
    assert by_few["other"] < by_few["main"] / 2
    by_many = fit_pool(named, y_true, EVEN, "main").weights
    assert by_many == pytest.approx({"main": 1, "other": 1}, rel=0.1)


def test_an_opinion_given_twice_counts_once():
    (model,), y_true = opinions(1)
    assert sum(fit_and_pool([model, model], y_true)[0]) == pytest.approx(1, abs=0.05)


def test_noise_gets_about_no_weight():
    (model,), y_true = opinions(1)
    noise = softmax(2 * np.random.default_rng(1).normal(size=model.shape))
    assert fit_and_pool([noise, model], y_true)[0] == pytest.approx([0, 1], abs=0.05)
    assert fit_and_pool([model, noise], y_true)[0] == pytest.approx([1, 0], abs=0.05)


def test_an_opinion_against_the_truth_is_ignored_and_not_turned_round():
    (model,), y_true = opinions(1)
    against = softmax(-np.log(model))
    weights, joined = fit_and_pool([model, against], y_true)
    assert min(weights) >= 0
    assert loss(joined, y_true) <= loss(model, y_true) + 1e-4


def test_a_pool_that_trusts_one_model_says_what_it_says():
    models = dict(zip(("one", "other"), opinions(2, n=50)[0], strict=True))
    one = LogOpinionPool({"one": 1.0, "other": 0.0}, 0.0, EVEN.tolist()).predict_proba(models)
    assert one.dtype == np.float32
    np.testing.assert_allclose(one, models["one"], atol=1e-6)
    none = LogOpinionPool({"one": 0.0, "other": 0.0}, 0.0, EVEN.tolist()).predict_proba(models)
    np.testing.assert_allclose(none, 0.25, atol=1e-6)


def test_products_that_several_folds_predicted_count_once():
    rows, y_true = opinions(2, n=30)
    once = fit_pool(dict(enumerate(rows)), y_true, EVEN, 0)
    four = {i: np.tile(found, (4, 1)) for i, found in enumerate(rows)}
    again = fit_pool(four, np.tile(y_true, 4), EVEN, 0, n_products=30)
    assert list(again.weights.values()) == pytest.approx(list(once.weights.values()), abs=1e-3)
    assert again.prior_exponent == pytest.approx(once.prior_exponent, abs=1e-3)
    counted_four_times = fit_pool(four, np.tile(y_true, 4), EVEN, 0)
    assert counted_four_times.weights[1] > again.weights[1] + 0.01
