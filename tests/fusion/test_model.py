"""A product is classified by what it has, and out of fold by members not fitted on it."""

import pickle
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.repository import TOP
from scipy.sparse import csr_array, issparse

from stages.classifiers import logistic_regression
from stages.common import large_arrays
from stages.common.errors import InputError
from stages.compute.base import RunUnits
from stages.fusion.calibration import LogOpinionPool
from stages.fusion.features import Features, FeaturesMetadata, unit_length
from stages.fusion.fitting import Task
from stages.fusion.members import plan_members
from stages.fusion.model import BUILD_FILE, FusedModel, Predictions
from stages.fusion.training import ONE_BY_ONE, TrainedModel, fit_models
from stages.params import load_params

N = 150
SIZES = {"photo": 10, "words": 8, "pieces": 40}
INPUTS = {"photo": "image", "words": "text", "pieces": "text"}
CLASSES = ["a", "b, c", "d"]
QUICK: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "svm": {},
    "random_forest": {"n_estimators": 10},
    "mlp": {"branch_units": 8, "hidden_units": 8, "max_epochs": 2},
}
TRAIN, VALIDATION = -1, 0  # else the number of the turn in which a product is held out
ONE = np.array([TRAIN, TRAIN, TRAIN, VALIDATION, VALIDATION] * (N // 5))
TURNS = np.arange(N) % 3 + 1
PARTS = pytest.mark.parametrize("parts", [ONE, TURNS], ids=["one part", "turns"])
STRATEGY = pytest.mark.parametrize("strategy", ["hybrid", "early", "late"])


def settings(kind: str = "logistic_regression", **changed: Any) -> Any:
    known = load_params(TOP / "params.yaml").classifiers[kind]
    return known.model_copy(update=QUICK[kind] | changed)


def catalogue(noise: float = 2.0, seed: int = 1, n: int = N) -> Features:
    """Make products of three classes, of which some lack an image and others a text."""
    centres, rng = np.random.default_rng(0), np.random.default_rng(seed)
    at = rng.integers(3, size=n)
    blocks = {
        name: centres.normal(size=(3, size))[at] + noise * rng.normal(size=(n, size))
        for name, size in SIZES.items()
    }
    blocks["pieces"] = np.maximum(blocks["pieces"], 0)
    lot = rng.random(n)
    has = {"image": lot > 0.15, "text": (lot < 0.15) | (lot > 0.3)}
    present = {name: has[modality] for name, modality in INPUTS.items()}
    rows = {
        name: unit_length(rows.astype(np.float32)) * present[name][:, None]
        for name, rows in blocks.items()
    }
    return Features(
        rows | {"pieces": csr_array(rows["pieces"])},
        present,
        {"photo": 0.5**0.5, "words": 0.5, "pieces": 0.5},
        INPUTS,
        np.array(CLASSES)[at],
        {"pieces": 6},
    )


def trained(
    settings: Any,
    strategy: str,
    seed: int,
    features: Features,
    parts: np.ndarray,
    kind: str | None = None,
    run: RunUnits = ONE_BY_ONE,
) -> TrainedModel:
    """Fit a model of all blocks; `parts` are TRAIN, VALIDATION or turns."""
    metadata = FeaturesMetadata({}, features.inputs, {}, {}, {"every": features.block_weights})
    kind = kind or type(settings).__module__.rpartition(".")[2]
    plan = plan_members(metadata, strategy)
    task = Task(kind, settings, strategy, seed, plan, sorted(set(features.labels.tolist())))

    def read(chosen: np.ndarray, block_weights: Mapping[str, float]) -> Features:
        return features.select_rows(chosen).select_blocks(block_weights)

    roles = np.where(parts == TRAIN, "train", "validation")
    turns = np.maximum(parts, 0)[:, None]
    (models,) = fit_models(task, read, roles[:, None], turns, run=run)
    return models["every"]


class Elsewhere:
    """Calls units as processes would: what they return is pickled. It counts those of each call."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.asked: list[int] = []

    def __call__(self, units: Sequence[Callable[[], Any]]) -> Iterator[Any]:
        self.asked.append(len(units))
        return (pickle.loads(pickle.dumps(one)) for one in ONE_BY_ONE(units))


def without(features: Features, modality: str) -> Features:
    nothing = np.zeros(len(features.labels), dtype=bool)
    return replace(
        features,
        present={
            name: nothing if INPUTS[name] == modality else there
            for name, there in features.present.items()
        },
    )


def relabeled(features: Features, at: int | np.ndarray, label: str) -> Features:
    labels = features.labels.astype(object)
    labels[at] = label
    return replace(features, labels=labels.astype(str))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assert_same(one: Predictions, other: Predictions, atol: float = 0) -> None:
    np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=0, atol=atol)
    np.testing.assert_allclose(one.uncalibrated, other.uncalibrated, rtol=0, atol=atol)


@pytest.mark.parametrize("kind", ["logistic_regression", "svm", "random_forest", "mlp"])
def test_models_of_features_that_lie_in_files_have_the_same_bytes(monkeypatch, tmp_path, kind):
    own = settings(kind, **({"nystroem_above": 0} if kind == "svm" else {}))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "large"))
    for name, large in (("memory", large_arrays.LARGE), ("files", 1)):
        monkeypatch.setattr(large_arrays, "LARGE", large)
        found = trained(own, "hybrid", 3, catalogue(), ONE)
        found.model.save(tmp_path / name)
        assert (tmp_path / "large").exists() == (name == "files")
    assert files(tmp_path / "files") == files(tmp_path / "memory")


@pytest.mark.parametrize(
    ("kind", "strategy", "parts"),
    [
        ("logistic_regression", "early", TURNS),
        ("logistic_regression", "late", ONE),
        ("logistic_regression", "hybrid", TURNS),
        ("svm", "early", ONE),
        ("svm", "hybrid", ONE),
        ("svm", "late", TURNS),
        ("random_forest", "early", TURNS),
        ("random_forest", "late", ONE),
        ("mlp", "late", ONE),
    ],
)
def test_a_saved_model_predicts_as_the_one_in_memory(tmp_path, kind, strategy, parts):
    fitted = trained(settings(kind), strategy, 3, catalogue(), parts)
    fitted.model.save(tmp_path)
    test = catalogue(seed=2)
    predictions = fitted.model.predict_proba(test)
    assert_same(FusedModel.load(tmp_path).predict_proba(test), predictions)
    for rows in (predictions.probabilities, predictions.uncalibrated):
        assert rows.dtype == np.float32 and rows.shape == (N, 3)
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    if kind != "mlp":  # which is not given the epochs that it takes to learn
        chosen = np.array(fitted.model.classes)[predictions.probabilities.argmax(axis=1)]
        assert (chosen == test.labels).mean() > 0.8


@PARTS
@STRATEGY
def test_fitting_twice_writes_the_same_bytes(tmp_path, strategy, parts):
    for name in ("one", "other"):
        trained(settings(), strategy, 3, catalogue(), parts).model.save(tmp_path / name)
    assert files(tmp_path / "one") == files(tmp_path / "other")


@PARTS
@STRATEGY
@pytest.mark.parametrize("kind", ["logistic_regression", "random_forest"])
@pytest.mark.parametrize(("missing", "left"), [("image", "text"), ("text", "image")])
def test_a_product_that_lacks_one_is_classified_as_by_the_model_of_the_other(
    kind, strategy, parts, missing, left
):
    features, test = catalogue(), catalogue(seed=2)
    model = trained(settings(kind), strategy, 3, features, parts).model
    has = features.has_modality(left)
    twin = trained(
        settings(kind), strategy, 3, features.select_rows(has).select_modalities({left}), parts[has]
    ).model
    assert list(twin.members) == [left]
    with_it = test.select_rows(test.has_modality(left))
    wanted = twin.predict_proba(with_it.select_modalities({left}))
    assert_same(model.predict_proba(without(with_it, missing)), wanted, atol=1e-6)

    lacks = ~with_it.has_modality(missing)
    assert 10 < lacks.sum() < len(lacks) - 10
    found = model.predict_proba(with_it)
    np.testing.assert_allclose(
        found.probabilities[lacks], wanted.probabilities[lacks], rtol=0, atol=1e-6
    )
    assert (found.probabilities[~lacks] != wanted.probabilities[~lacks]).any(axis=1).all()


@STRATEGY
def test_a_product_that_has_nothing_gets_zeros_and_changes_no_other(strategy):
    model = trained(settings(), strategy, 3, catalogue(), ONE).model
    test = catalogue(seed=2)
    there = np.arange(N) != 5
    nothing = replace(test, present={name: have & there for name, have in test.present.items()})
    before, after = model.predict_proba(test), model.predict_proba(nothing)
    assert not after.probabilities[5].any() and not after.uncalibrated[5].any()
    np.testing.assert_allclose(
        after.probabilities[there], before.probabilities[there], rtol=0, atol=1e-6
    )


POOLED = {"hybrid": ["both", "image", "text"], "early": ["both"], "late": ["image", "text"]}


@STRATEGY
def test_what_has_both_is_classified_by_the_pool_of_the_strategy_s_members(strategy):
    model = trained(settings(), strategy, 3, catalogue(), ONE).model
    assert list(model.members) == (POOLED["late"] if strategy == "late" else POOLED["hybrid"])
    assert {name: list(pool.weights) for name, pool in model.pools.items()} == {
        "image": ["image"],
        "text": ["text"],
        "both": POOLED[strategy],
    }


def test_image_and_text_are_pooled_by_how_far_each_is_trusted():
    features, test = catalogue(), catalogue(seed=2)
    model = trained(settings(), "late", 3, features, ONE).model
    test = test.select_rows(test.has_all_modalities())
    given = {
        kind: model.predict_proba(without(test, other)).uncalibrated
        for kind, other in (("image", "text"), ("text", "image"))
    }
    predictions = model.predict_proba(test)
    wanted = model.pools["both"].predict_proba(given)
    np.testing.assert_allclose(predictions.probabilities, wanted, rtol=0, atol=1e-5)
    evenly = LogOpinionPool({"image": 0.5, "text": 0.5}, 0, [1 / 3] * 3).predict_proba(given)
    np.testing.assert_allclose(predictions.uncalibrated, evenly, rtol=0, atol=1e-5)


def with_noise(features: Features, seed: int) -> Features:
    noise = np.random.default_rng(seed).normal(size=features.blocks["photo"].shape)
    noise = unit_length(noise.astype(np.float32)) * features.present["photo"][:, None]
    return replace(features, blocks=features.blocks | {"photo": noise})


def log_loss(rows: np.ndarray, classes: list[str], labels: np.ndarray) -> float:
    return float(-np.log(rows[np.arange(len(rows)), np.searchsorted(classes, labels)]).mean())


@pytest.mark.parametrize("strategy", ["hybrid", "late"])
def test_fusion_is_not_led_astray_by_images_of_noise(strategy):
    features, test = with_noise(catalogue(n=5 * N), 9), with_noise(catalogue(n=5 * N, seed=2), 10)
    model = trained(settings(), strategy, 3, features, np.tile(TURNS, 5)).model
    test = test.select_rows(test.has_all_modalities())
    given = {
        kind: model.predict_proba(without(test, kind)).uncalibrated for kind in INPUTS.values()
    }
    noisy, texts, equal_trust = (
        log_loss(rows, model.classes, test.labels)
        for rows in (
            model.predict_proba(test).probabilities,
            model.predict_proba(without(test, "image")).probabilities,
            LogOpinionPool(dict.fromkeys(given, 1.0), 0.0, [1 / 3] * 3).predict_proba(given),
        )
    )
    assert noisy < texts + 0.02 < equal_trust


@pytest.mark.parametrize("changed", [lambda features, seed: features, with_noise])
def test_hybrid_fusion_is_about_as_good_as_the_better_of_early_and_late(changed):
    features, test = changed(catalogue(n=5 * N), 9), changed(catalogue(n=5 * N, seed=2), 10)
    test = test.select_rows(test.has_all_modalities())
    losses = {}
    for strategy in ("hybrid", "early", "late"):
        model = trained(settings("svm"), strategy, 3, features, np.tile(TURNS, 5)).model
        losses[strategy] = log_loss(
            model.predict_proba(test).probabilities, model.classes, test.labels
        )
    assert losses["hybrid"] < min(losses["early"], losses["late"]) + 0.01
    assert losses["hybrid"] < max(losses["early"], losses["late"]) - 0.01


def test_each_prediction_is_calibrated_by_what_was_seen():
    test = catalogue(seed=2)
    model = trained(settings("svm", C=0.5), "early", 3, catalogue(), ONE).model
    assert len({pool.weights[name] for name, pool in model.pools.items()}) == 3
    predictions = model.predict_proba(test)
    rows = {
        "both": test.has_all_modalities(),
        "image": test.has_modality("image") & ~test.has_all_modalities(),
        "text": test.has_modality("text") & ~test.has_all_modalities(),
    }
    for name, chosen in rows.items():
        assert chosen.any()
        given = {name: predictions.uncalibrated[chosen]}
        np.testing.assert_allclose(
            predictions.probabilities[chosen],
            model.pools[name].predict_proba(given),
            atol=1e-6,
        )


@PARTS
def test_calibrated_probabilities_make_the_labels_of_new_products_likelier(parts):
    # The margins of an SVM that is held back are small, and their softmax is far too shy.
    model = trained(settings("svm", C=0.5), "early", 3, catalogue(), parts).model
    test = catalogue(seed=2)
    predictions = model.predict_proba(test)
    columns = np.searchsorted(model.classes, test.labels)
    given, before = (
        -np.log(rows[np.arange(N), columns]).mean()
        for rows in (predictions.probabilities, predictions.uncalibrated)
    )
    assert given < before - 0.1


def test_a_validation_part_is_not_fitted_on(tmp_path):
    features = catalogue()
    trained(settings(), "early", 3, features, ONE).model.save(tmp_path / "before")
    rng = np.random.default_rng(5)
    out = ONE == VALIDATION
    features.labels[out] = rng.permutation(features.labels[out])
    for name, rows in features.blocks.items():
        shuffled = np.arange(N)
        shuffled[out] = rng.permutation(np.flatnonzero(out))
        features.blocks[name] = rows[shuffled]
    trained(settings(), "early", 3, features, ONE).model.save(tmp_path / "after")
    before, after = files(tmp_path / "before"), files(tmp_path / "after")
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {BUILD_FILE}  # which holds the pools


@STRATEGY
def test_the_predictions_for_a_validation_part_are_the_model_s(strategy):
    features = catalogue()
    fitted = trained(settings(), strategy, 3, features, ONE)
    np.testing.assert_array_equal(fitted.rows, np.flatnonzero(ONE == VALIDATION))
    validation = features.select_rows(ONE == VALIDATION)
    assert_same(fitted.validation, fitted.model.predict_proba(validation), atol=1e-6)


def test_in_turns_each_product_is_predicted_by_models_of_the_others():
    features = catalogue()
    fitted = trained(settings(), "early", 3, features, TURNS)
    assert fitted.rows.tolist() == list(range(N))
    for turn in (1, 2, 3):
        out = turn == TURNS
        parts = np.where(out, VALIDATION, TRAIN)
        alone = trained(settings(), "early", 3, features, parts)
        np.testing.assert_array_equal(
            fitted.validation.uncalibrated[out], alone.validation.uncalibrated
        )


@pytest.mark.parametrize("at", [4, 50])
def test_in_turns_a_product_s_own_label_does_not_sway_its_prediction(at):
    features = catalogue()
    label = CLASSES[(CLASSES.index(features.labels[at]) + 1) % 3]
    before, after = (
        trained(settings(), "early", 3, each, TURNS).validation.uncalibrated
        for each in (features, relabeled(features, at, label))
    )
    same_turn = TURNS[at] == TURNS
    np.testing.assert_array_equal(before[same_turn], after[same_turn])
    rows = features.has_all_modalities() & ~same_turn
    assert (before[rows] != after[rows]).any(axis=1).all()


def test_in_turns_a_product_s_own_vectors_sway_no_prediction_of_its_turn_but_its_own():
    features = catalogue()
    at = int(np.flatnonzero(features.has_all_modalities())[0])
    other = replace(features, blocks={name: rows.copy() for name, rows in features.blocks.items()})
    for name, rows in other.blocks.items():
        dense = rows.toarray() if issparse(rows) else rows
        dense[at] = dense[at][::-1]
        other.blocks[name] = csr_array(dense) if issparse(rows) else dense
    before, after = (
        trained(settings(), "early", 3, each, TURNS).validation.uncalibrated
        for each in (features, other)
    )
    differ = (before != after).any(axis=1) & (TURNS[at] == TURNS)
    assert np.flatnonzero(differ).tolist() == [at]


@STRATEGY
def test_in_turns_a_class_of_one_product_is_never_predicted_for_it_but_known_in_the_end(strategy):
    features = catalogue()
    at = int(np.flatnonzero(features.has_all_modalities())[0])
    fitted = trained(settings(), strategy, 3, relabeled(features, at, "own"), TURNS)
    assert fitted.model.classes == [*CLASSES, "own"]
    found = fitted.validation
    if strategy == "early":
        assert found.uncalibrated[at, 3] == 0
        assert not found.uncalibrated[TURNS[at] == TURNS, 3].any()
    assert found.probabilities[at, 3] < 1e-3
    assert found.probabilities[TURNS[at] != TURNS, 3].max() > found.probabilities[at, 3]
    # In the end it was trained on.
    found = fitted.model.predict_proba(features.select_rows(np.arange(N) == at))
    assert found.probabilities[0, 3] > 0.1


def test_in_turns_a_class_with_images_in_one_turn_alone_costs_no_trust_in_images():
    features = catalogue(n=450)
    in_turns = np.arange(450) % 3 + 1
    rare = np.flatnonzero((features.labels == "d") & features.has_all_modalities())
    in_one = rare[in_turns[rare] == 1]
    trust = []
    for kept in (rare[: len(in_one)], in_one):
        has = (features.labels != "d") | np.isin(np.arange(450), kept)
        found = replace(
            features,
            present={**features.present, "photo": features.present["photo"] & has},
            blocks={**features.blocks, "photo": features.blocks["photo"] * has[:, None]},
        )
        model = trained(settings(), "late", 3, found, in_turns).model
        trust.append(model.pools["both"].weights["image"])
    assert trust[1] > 0.8 * trust[0] > 0


@pytest.mark.parametrize("strategy", ["hybrid", "late"])
def test_a_class_without_images_in_training_is_found_by_its_text_beside_an_image(strategy):
    """As where all images of a category failed, and those of its new products do not."""
    features, new = catalogue(n=450), catalogue(n=450, seed=2)
    has = features.labels != "d"
    found = replace(
        features,
        present={**features.present, "photo": features.present["photo"] & has},
        blocks={**features.blocks, "photo": features.blocks["photo"] * has[:, None]},
    )
    model = trained(settings(), strategy, 3, found, np.arange(450) % 3 + 1).model
    chosen = new.select_rows(new.has_all_modalities() & (new.labels == "d"))
    right = [
        np.mean(model.predict_proba(one).probabilities.argmax(axis=1) == 2)
        for one in (chosen, without(chosen, "image"))
    ]
    assert right[0] > right[1] - 0.05 > 0.8


@PARTS
def test_a_class_without_images_takes_no_share_from_products_of_an_image_alone(parts):
    """As the model of images: it says little here, and has not heard of the class."""
    features = catalogue(noise=50.0)
    has = features.has_modality("image") & (features.labels != "d")
    found = replace(features, present={**features.present, "photo": has})
    model = trained(settings(), "hybrid", 3, found, parts).model
    images = found.select_rows(has).select_modalities({"image"})
    twin = trained(settings(), "hybrid", 3, images, parts[has]).model
    new = without(catalogue(noise=50.0, seed=2), "text")
    new = new.select_rows(new.has_modality("image"))
    alone = twin.predict_proba(new.select_modalities({"image"})).probabilities
    wanted = np.pad(alone, ((0, 0), (0, 1)))
    np.testing.assert_allclose(model.predict_proba(new).probabilities, wanted, rtol=0, atol=1e-5)


def test_a_class_that_a_member_was_not_fitted_on_gets_probability_0():
    features = catalogue()
    alone = ~features.has_modality("text") & (features.labels == "d")
    features = relabeled(features, alone, "only images")
    model = trained(settings(), "early", 3, features, ONE).model
    at = model.classes.index("only images")
    seen_in_text = model.predict_proba(without(catalogue(seed=2), "image")).uncalibrated
    assert not seen_in_text[:, at].any()
    in_image = model.predict_proba(without(catalogue(seed=2), "text")).uncalibrated
    assert in_image[:, at].max() > 0.1


@pytest.mark.parametrize(
    ("patience", "epochs", "crossed"),
    # The best epochs are 3, 1 and 5; for a turn, the median of the other two counts.
    [pytest.param(20, 3, [3, 4, 2], id="median"), pytest.param(None, 100, [], id="all")],
)
def test_after_turns_what_stops_early_gets_the_epochs_that_were_best(
    patience, epochs, crossed, monkeypatch
):
    losses = iter([[3.0, 2.0, 1.0, 2.0, 3.0], [1.0, 2.0], [5.0, 4.0, 3.0, 2.0, 1.0, 9.0]])
    asked = []

    class Classifier:
        """A classifier that knows its validation losses and nothing else."""

        def __init__(self, settings: Any, seed: int, block_weights: dict[str, float]) -> None:
            self.settings = settings

        def fit(self, X: Any, y: np.ndarray, validation: Any = None) -> "Classifier":
            asked.append((self.settings.max_epochs, len(y), validation is not None))
            self.classes_ = sorted(set(y.tolist()))
            self.history_ = {"validation_loss": next(losses)} if validation else {}
            return self

        def predict_proba(self, X: dict[str, np.ndarray]) -> np.ndarray:
            n, classes = len(next(iter(X.values()))), len(self.classes_)
            return np.full((n, classes), 1 / classes, dtype=np.float32)

    monkeypatch.setattr("stages.classifiers.mlp.Classifier", Classifier)
    features = catalogue()
    features = features.select_rows(features.has_modality("text")).select_modalities({"text"})
    n = len(features.labels)
    parts = TURNS[:n]
    chosen = settings("mlp", max_epochs=100, patience=patience)
    fitted = trained(chosen, "early", 3, features, parts)
    sizes = [int((parts != turn).sum()) for turn in (1, 2, 3)]
    turns = [(100, size, True) for size in sizes]
    again = [(best, size, False) for best, size in zip(crossed, sizes, strict=False)]
    assert asked == [*turns, *again, (epochs, n, False)]
    assert fitted.history == {"validation_loss": [3.0, 2.0, 1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    ("chosen", "rounds"),
    [
        pytest.param(settings("mlp", max_epochs=3, patience=2), [3, 4], id="stops early"),
        pytest.param(settings(), [4], id="does not"),
    ],
)
def test_the_last_fit_waits_for_the_turns_only_where_they_say_for_how_long(chosen, rounds):
    run = Elsewhere(places=1)
    trained(chosen, "early", 3, catalogue(), TURNS, run=run)
    assert run.asked == rounds


@PARTS
@pytest.mark.parametrize("kind", sorted(QUICK))
def test_products_without_image_and_text_change_nothing(tmp_path, kind, parts):
    features, has = catalogue(), np.arange(N) % 10 < 8
    blocks = {
        "photo": features.blocks["photo"] * has[:, None],
        "words": features.blocks["words"] * has[:, None],
        "pieces": csr_array(features.blocks["pieces"].toarray() * has[:, None]),
    }
    present = {name: there & has for name, there in features.present.items()}
    with_empty = replace(features, blocks=blocks, present=present)
    one = trained(settings(kind), "hybrid", 3, features.select_rows(has), parts[has])
    other = trained(settings(kind), "hybrid", 3, with_empty, parts)
    for name, model in (("one", one), ("other", other)):
        model.model.save(tmp_path / name)
    assert files(tmp_path / "other") == files(tmp_path / "one")
    assert_same(other.validation, one.validation)
    assert other.rows.tolist() == np.flatnonzero(has)[one.rows].tolist()
    assert (other.history, other.n_products) == (one.history, one.n_products)


@PARTS
@pytest.mark.parametrize("kind", sorted(QUICK))
def test_a_place_for_each_member_changes_nothing_in_models(tmp_path, kind, parts):
    found = {}
    for places in (1, 99):
        run = Elsewhere(places)
        found[places] = trained(settings(kind), "hybrid", 3, catalogue(), parts, run=run)
        found[places].model.save(tmp_path / str(places))
        turns = len(set(parts.tolist()) - {TRAIN})
        units = turns if kind == "mlp" or turns == 1 else turns + 1
        is_divided = places == 99 and kind in ("svm", "mlp")  # by image, text and both
        assert run.asked[0] == units * (3 if is_divided else 1)
    one, many = found.values()
    assert files(tmp_path / "99") == files(tmp_path / "1")
    assert_same(many.validation, one.validation)
    assert many.rows.tolist() == one.rows.tolist()
    assert (many.history, many.n_products) == (one.history, one.n_products)


def test_members_stop_on_the_validation_products_that_they_can_see(monkeypatch):
    met = []

    class Classifier(logistic_regression.Classifier):
        def fit(self, X: Any, y: np.ndarray, validation: Any = None) -> "Classifier":
            for blocks, labels in ((X, y), validation):
                met.append((sorted(blocks), len(labels)))
            return super().fit(X, y)

    features = catalogue()
    monkeypatch.setattr("stages.classifiers.svm.Classifier", Classifier)
    trained(settings(), "early", 3, features, ONE, "svm")
    train, out = ONE == TRAIN, ONE == VALIDATION
    wanted = [
        (blocks, int((has & part).sum()))
        for blocks, has in (
            (["photo", "pieces", "words"], features.any_present()),
            (["photo"], features.has_modality("image")),
            (["pieces", "words"], features.has_modality("text")),
        )
        for part in (train, out)
    ]
    assert met == wanted


@PARTS
@STRATEGY
def test_products_of_one_class_are_refused(strategy, parts):
    features = catalogue()
    features.labels[:] = "a"
    with pytest.raises(InputError, match="are of 1 classes; two are needed"):
        trained(settings(), strategy, 3, features, parts)


@PARTS
@STRATEGY
@pytest.mark.parametrize("kind", ["logistic_regression", "random_forest"])
def test_images_of_one_class_are_refused_whatever_the_classifier(kind, strategy, parts):
    features = catalogue()
    photo = features.present["photo"] & (features.labels == "a")
    features = replace(features, present=features.present | {"photo": photo})
    seen = features.any_present()
    with pytest.raises(InputError, match=r"image input are of 1 classes; .*: give such input to"):
        trained(settings(kind), strategy, 3, features.select_rows(seen), parts[seen])


@pytest.mark.parametrize("kind", ["logistic_regression", "svm", "random_forest"])
def test_classes_of_a_few_products_are_told_apart_without_a_warning(kind):
    features, at = catalogue(), np.arange(N) // 3
    seen = features.has_all_modalities()[3 * at]
    alike = replace(  # a class has one product three times
        features,
        blocks={name: rows[3 * at] for name, rows in features.blocks.items()},
        present={name: there[3 * at] for name, there in features.present.items()},
        labels=np.array([f"c{i:02}" for i in at]),
    ).select_rows(seen)
    parts = np.array([TRAIN, VALIDATION, VALIDATION] * (N // 3))[seen]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = trained(settings(kind), "early", 3, alike, parts).model
    found = model.predict_proba(alike).probabilities.argmax(axis=1)
    assert (np.array(model.classes)[found] == alike.labels).mean() > 0.9


def test_a_validation_part_of_unknown_classes_is_refused():
    features = catalogue()
    labels = np.where(ONE == VALIDATION, "another", features.labels)
    with pytest.raises(InputError, match=r"no validation product .* raise split\.validation"):
        trained(settings(), "early", 3, replace(features, labels=labels), ONE)


@pytest.mark.parametrize("missing", ["image", "text"])
@pytest.mark.parametrize("kind", ["logistic_regression", "mlp"])
def test_a_turn_that_lacks_an_input_leaves_it_to_the_others(kind, missing):
    epochs = {"max_epochs": 40} if kind == "mlp" else {}
    features = catalogue(noise=0.5)
    lacks = TURNS == 1
    present = {
        name: there & ~(lacks & (INPUTS[name] == missing))
        for name, there in features.present.items()
    }
    features = replace(features, present=present)
    seen = features.any_present()
    features, turns = features.select_rows(seen), TURNS[seen]
    found = trained(settings(kind, **epochs), "hybrid", 3, features, turns)
    np.testing.assert_array_equal(found.rows, np.arange(len(turns)))
    probabilities = found.model.predict_proba(features).probabilities
    right = np.array(found.model.classes)[probabilities.argmax(axis=1)] == features.labels
    has_input = features.has_modality(missing)
    assert not has_input[turns == 1].any()
    assert right[has_input].mean() > 0.9 and right[~has_input].mean() > 0.8
    if kind == "mlp":
        assert all(found.history.values())


@pytest.mark.parametrize("missing", ["image", "text"])
def test_the_only_turn_that_lacks_an_input_is_refused(missing):
    features = catalogue()
    present = {
        name: there & ~((ONE == VALIDATION) & (INPUTS[name] == missing))
        for name, there in features.present.items()
    }
    features = replace(features, present=present)
    seen = features.any_present()
    with pytest.raises(
        InputError, match=rf"{missing} input .*lower split\.validation_folds.*to none"
    ):
        trained(settings(), "late", 3, features.select_rows(seen), ONE[seen])


@STRATEGY
def test_validation_products_of_which_none_has_both_are_refused(strategy):
    features = catalogue()
    kept = (ONE == TRAIN) | ~features.has_all_modalities()
    with pytest.raises(InputError, match="has both image and text: give it to more products"):
        trained(settings(), strategy, 3, features.select_rows(kept), ONE[kept])


def test_products_without_a_validation_part_are_refused():
    with pytest.raises(InputError, match="no validation product"):
        trained(settings(), "early", 3, catalogue(), np.full(N, TRAIN))


def test_a_block_that_is_not_there_to_train_on_is_refused():
    features = catalogue()
    photo = features.present["photo"] & (ONE == VALIDATION)
    features = replace(features, present=features.present | {"photo": photo})
    seen = features.any_present()
    with pytest.raises(InputError, match="have a photo input: give it to more products"):
        trained(settings(), "early", 3, features.select_rows(seen), ONE[seen])


@pytest.fixture(scope="module")
def saved_mlp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlp")
    trained(settings("mlp"), "early", 3, catalogue(), ONE).model.save(folder)
    return folder


@pytest.mark.parametrize(
    "planted", [b"", b"\x80\x04", b"[]", b"{}", b'{"kind": "os", "members": {}}']
)
def test_what_describes_no_model_is_refused_by_its_name(tmp_path, saved_mlp, planted):
    folder = tmp_path / "model"
    shutil.copytree(saved_mlp, folder)
    for file in (folder / "text" / "network.json", folder / BUILD_FILE):
        file.write_bytes(planted)
        with pytest.raises(InputError, match=rf"{file.name} describes no (classifier|model)"):
            FusedModel.load(folder)


def test_a_folder_that_holds_no_model_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no model: `dvc repro` trains it"):
        FusedModel.load(tmp_path)


def test_a_model_whose_preprocessing_is_gone_is_not_loaded(tmp_path):
    trained(settings(), "late", 3, catalogue(), ONE).model.save(tmp_path)
    (tmp_path / "preprocessing.safetensors").unlink()
    with pytest.raises(InputError, match=r"preprocessing\.safetensors is not there"):
        FusedModel.load(tmp_path)
