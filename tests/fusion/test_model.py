"""A product is judged by what it has, and no answer for validation comes from one who saw it."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.repository import TOP
from scipy.sparse import csr_array, issparse

from stages.classifiers import logistic_regression
from stages.common.errors import InputError
from stages.fusion import model as fusion
from stages.fusion.calibration import Pool, pooled
from stages.fusion.features import Features, unit_length
from stages.fusion.fits import Fits
from stages.params import load_params

N = 150
SIZES = {"photo": 10, "words": 8, "pieces": 40}
KINDS = {"photo": "image", "words": "text", "pieces": "text"}
CLASSES = ["a", "b, c", "d"]
QUICK: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "svm": {},
    "random_forest": {"n_estimators": 10},
    "mlp": {"branch_units": 8, "hidden_units": 8, "max_epochs": 2},
}
ONE = np.array((["train"] * 3 + ["validation"] * 2) * (N // 5))
TURNS = np.array([f"validation-{at % 3 + 1}" for at in range(N)])
PARTS = pytest.mark.parametrize("parts", [ONE, TURNS], ids=["one part", "turns"])
STRATEGY = pytest.mark.parametrize("strategy", ["hybrid", "early", "late"])


def settings(kind: str = "logistic_regression", **changed: Any) -> Any:
    known = load_params(TOP / "params.yaml").classifiers[kind]
    return known.model_copy(update=QUICK[kind] | changed)


def catalogue(noise: float = 2.0, seed: int = 1, n: int = N) -> Features:
    """Make products of three classes, of which some lack a picture and others a text."""
    centres, rng = np.random.default_rng(0), np.random.default_rng(seed)
    at = rng.integers(3, size=n)
    blocks = {
        name: centres.normal(size=(3, size))[at] + noise * rng.normal(size=(n, size))
        for name, size in SIZES.items()
    }
    blocks["pieces"] = np.maximum(blocks["pieces"], 0)
    lot = rng.random(n)
    has = {"image": lot > 0.15, "text": (lot < 0.15) | (lot > 0.3)}
    present = {name: has[kind] for name, kind in KINDS.items()}
    rows = {
        name: unit_length(rows.astype(np.float32)) * present[name][:, None]
        for name, rows in blocks.items()
    }
    return Features(
        rows | {"pieces": csr_array(rows["pieces"])},
        present,
        {"photo": 0.5**0.5, "words": 0.5, "pieces": 0.5},
        np.array(CLASSES)[at],
        KINDS,
        {"pieces": 6},
    )


def fitted_as(
    settings: Any, strategy: str, seed: int, features: Features, parts: np.ndarray
) -> fusion.Fitted:
    kind = type(settings).__module__.rpartition(".")[2]
    return fusion.fit(kind, settings, strategy, seed, features, parts, Fits())


def withheld(features: Features, kind: str) -> Features:
    nothing = np.zeros(len(features.labels), dtype=bool)
    return replace(
        features,
        present={
            name: nothing if KINDS[name] == kind else there
            for name, there in features.present.items()
        },
    )


def relabelled(features: Features, at: int | np.ndarray, label: str) -> Features:
    labels = features.labels.astype(object)
    labels[at] = label
    return replace(features, labels=labels.astype(str))


def both(features: Features) -> np.ndarray:
    return features.has("image") & features.has("text")


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assert_same(one: fusion.Answers, other: fusion.Answers, atol: float = 0) -> None:
    np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=0, atol=atol)
    np.testing.assert_allclose(one.uncalibrated, other.uncalibrated, rtol=0, atol=atol)


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
def test_a_model_in_files_answers_as_the_one_in_memory(tmp_path, kind, strategy, parts):
    fitted = fitted_as(settings(kind), strategy, 3, catalogue(), parts)
    fitted.model.save(tmp_path)
    test = catalogue(seed=2)
    answers = fitted.model.predict(test)
    assert_same(fusion.load(tmp_path).predict(test), answers)
    for rows in (answers.probabilities, answers.uncalibrated):
        assert rows.dtype == np.float32 and rows.shape == (N, 3)
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    if kind != "mlp":  # which is not given the epochs that it takes to learn
        chosen = np.array(fitted.model.classes)[answers.probabilities.argmax(axis=1)]
        assert (chosen == test.labels).mean() > 0.8


@PARTS
@STRATEGY
def test_fitting_twice_writes_the_same_bytes(tmp_path, strategy, parts):
    for name in ("one", "other"):
        fitted_as(settings(), strategy, 3, catalogue(), parts).model.save(tmp_path / name)
    assert files(tmp_path / "one") == files(tmp_path / "other")


@PARTS
@STRATEGY
@pytest.mark.parametrize("kind", ["logistic_regression", "random_forest"])
@pytest.mark.parametrize(("missing", "left"), [("image", "text"), ("text", "image")])
def test_a_product_that_lacks_one_is_judged_as_by_the_model_of_the_other(
    kind, strategy, parts, missing, left
):
    features, test = catalogue(), catalogue(seed=2)
    model = fitted_as(settings(kind), strategy, 3, features, parts).model
    has = features.has(left)
    twin = fitted_as(settings(kind), strategy, 3, features.where(has).of({left}), parts[has]).model
    assert list(twin.members) == [left]
    with_it = test.where(test.has(left))
    wanted = twin.predict(with_it.of({left}))
    assert_same(model.predict(withheld(with_it, missing)), wanted, atol=1e-6)

    lacks = ~with_it.has(missing)
    assert 10 < lacks.sum() < len(lacks) - 10
    found = model.predict(with_it)
    np.testing.assert_allclose(
        found.probabilities[lacks], wanted.probabilities[lacks], rtol=0, atol=1e-6
    )
    assert (found.probabilities[~lacks] != wanted.probabilities[~lacks]).any(axis=1).all()


@STRATEGY
def test_a_product_that_has_nothing_gets_zeros_and_changes_no_other(strategy):
    model = fitted_as(settings(), strategy, 3, catalogue(), ONE).model
    test = catalogue(seed=2)
    there = np.arange(N) != 5
    nothing = replace(test, present={name: have & there for name, have in test.present.items()})
    before, after = model.predict(test), model.predict(nothing)
    assert not after.probabilities[5].any() and not after.uncalibrated[5].any()
    np.testing.assert_allclose(
        after.probabilities[there], before.probabilities[there], rtol=0, atol=1e-6
    )


JUDGES = {"hybrid": ["both", "image", "text"], "early": ["both"], "late": ["image", "text"]}


@STRATEGY
def test_what_has_both_is_judged_by_the_pool_of_the_strategy_s_members(strategy):
    model = fitted_as(settings(), strategy, 3, catalogue(), ONE).model
    assert list(model.members) == (JUDGES["late"] if strategy == "late" else JUDGES["hybrid"])
    assert {view: list(pool.weights) for view, pool in model.pools.items()} == {
        "image": ["image"],
        "text": ["text"],
        "both": JUDGES[strategy],
    }


def test_pictures_and_texts_are_joined_by_how_far_each_is_trusted():
    features, test = catalogue(), catalogue(seed=2)
    model = fitted_as(settings(), "late", 3, features, ONE).model
    test = test.where(both(test))
    said = {
        kind: model.predict(withheld(test, other)).uncalibrated
        for kind, other in (("image", "text"), ("text", "image"))
    }
    answers = model.predict(test)
    wanted = pooled(said, model.pools["both"])
    np.testing.assert_allclose(answers.probabilities, wanted, rtol=0, atol=1e-5)
    evenly = pooled(said, Pool({"image": 0.5, "text": 0.5}, 0, [1 / 3] * 3))
    np.testing.assert_allclose(answers.uncalibrated, evenly, rtol=0, atol=1e-5)


def with_noise(features: Features, seed: int) -> Features:
    noise = np.random.default_rng(seed).normal(size=features.blocks["photo"].shape)
    noise = unit_length(noise.astype(np.float32)) * features.present["photo"][:, None]
    return replace(features, blocks=features.blocks | {"photo": noise})


def log_loss(rows: np.ndarray, classes: list[str], labels: np.ndarray) -> float:
    return float(-np.log(rows[np.arange(len(rows)), np.searchsorted(classes, labels)]).mean())


@pytest.mark.parametrize("strategy", ["hybrid", "late"])
def test_fusion_is_not_led_astray_by_pictures_of_noise(strategy):
    features, test = with_noise(catalogue(n=5 * N), 9), with_noise(catalogue(n=5 * N, seed=2), 10)
    model = fitted_as(settings(), strategy, 3, features, np.tile(TURNS, 5)).model
    test = test.where(both(test))
    said = {kind: model.predict(withheld(test, kind)).uncalibrated for kind in KINDS.values()}
    noisy, texts, equal_trust = (
        log_loss(rows, model.classes, test.labels)
        for rows in (
            model.predict(test).probabilities,
            model.predict(withheld(test, "image")).probabilities,
            pooled(said, Pool(dict.fromkeys(said, 1.0), 0.0, [1 / 3] * 3)),
        )
    )
    assert noisy < texts + 0.02 < equal_trust


@pytest.mark.parametrize("changed", [lambda features, seed: features, with_noise])
def test_hybrid_fusion_is_about_as_good_as_the_better_of_early_and_late(changed):
    features, test = changed(catalogue(n=5 * N), 9), changed(catalogue(n=5 * N, seed=2), 10)
    test = test.where(both(test))
    losses = {}
    for strategy in ("hybrid", "early", "late"):
        model = fitted_as(settings("svm"), strategy, 3, features, np.tile(TURNS, 5)).model
        losses[strategy] = log_loss(model.predict(test).probabilities, model.classes, test.labels)
    assert losses["hybrid"] < min(losses["early"], losses["late"]) + 0.01
    assert losses["hybrid"] < max(losses["early"], losses["late"]) - 0.01


def test_each_answer_is_calibrated_by_what_was_seen():
    test = catalogue(seed=2)
    model = fitted_as(settings("svm", C=0.5), "early", 3, catalogue(), ONE).model
    assert len({pool.weights[view] for view, pool in model.pools.items()}) == 3
    answers = model.predict(test)
    views = {
        "both": both(test),
        "image": test.has("image") & ~both(test),
        "text": test.has("text") & ~both(test),
    }
    for view, chosen in views.items():
        assert chosen.any()
        given = {view: answers.uncalibrated[chosen]}
        np.testing.assert_allclose(
            answers.probabilities[chosen],
            pooled(given, model.pools[view]),
            atol=1e-6,
        )


@PARTS
def test_calibrated_probabilities_make_the_labels_of_new_products_likelier(parts):
    # The margins of an SVM that is held back are small, and their softmax is far too shy.
    model = fitted_as(settings("svm", C=0.5), "early", 3, catalogue(), parts).model
    test = catalogue(seed=2)
    answers = model.predict(test)
    columns = np.searchsorted(model.classes, test.labels)
    given, before = (
        -np.log(rows[np.arange(N), columns]).mean()
        for rows in (answers.probabilities, answers.uncalibrated)
    )
    assert given < before - 0.1


def test_a_validation_part_is_not_fitted_on(tmp_path):
    features = catalogue()
    fitted_as(settings(), "early", 3, features, ONE).model.save(tmp_path / "before")
    rng = np.random.default_rng(5)
    out = ONE == "validation"
    features.labels[out] = rng.permutation(features.labels[out])
    for name, rows in features.blocks.items():
        shuffled = np.arange(N)
        shuffled[out] = rng.permutation(np.flatnonzero(out))
        features.blocks[name] = rows[shuffled]
    fitted_as(settings(), "early", 3, features, ONE).model.save(tmp_path / "after")
    before, after = files(tmp_path / "before"), files(tmp_path / "after")
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {fusion.BUILD_FILE}  # which holds the pools


@STRATEGY
def test_what_is_said_of_a_validation_part_is_what_the_model_says(strategy):
    features = catalogue()
    fitted = fitted_as(settings(), strategy, 3, features, ONE)
    np.testing.assert_array_equal(fitted.held, ONE == "validation")
    assert_same(fitted.validated, fitted.model.predict(features.where(fitted.held)), atol=1e-6)


def test_in_turns_each_product_is_answered_by_models_of_the_others():
    features = catalogue()
    fitted = fitted_as(settings(), "early", 3, features, TURNS)
    assert fitted.held.all()
    for turn in sorted(set(TURNS)):
        out = turn == TURNS
        parts = np.where(out, "validation", "train")
        alone = fitted_as(settings(), "early", 3, features, parts)
        np.testing.assert_array_equal(
            fitted.validated.uncalibrated[out], alone.validated.uncalibrated
        )


@pytest.mark.parametrize("at", [4, 50])
def test_in_turns_a_product_s_own_label_does_not_sway_its_answer(at):
    features = catalogue()
    label = CLASSES[(CLASSES.index(features.labels[at]) + 1) % 3]
    before, after = (
        fitted_as(settings(), "early", 3, each, TURNS).validated.uncalibrated
        for each in (features, relabelled(features, at, label))
    )
    same_turn = TURNS[at] == TURNS
    np.testing.assert_array_equal(before[same_turn], after[same_turn])
    views = both(features) & ~same_turn
    assert (before[views] != after[views]).any(axis=1).all()


def test_in_turns_a_product_s_own_vectors_sway_no_answer_of_its_turn_but_its_own():
    features = catalogue()
    at = int(np.flatnonzero(both(features))[0])
    other = replace(features, blocks={name: rows.copy() for name, rows in features.blocks.items()})
    for name, rows in other.blocks.items():
        dense = rows.toarray() if issparse(rows) else rows
        dense[at] = dense[at][::-1]
        other.blocks[name] = csr_array(dense) if issparse(rows) else dense
    before, after = (
        fitted_as(settings(), "early", 3, each, TURNS).validated.uncalibrated
        for each in (features, other)
    )
    differ = (before != after).any(axis=1) & (TURNS[at] == TURNS)
    assert np.flatnonzero(differ).tolist() == [at]


@STRATEGY
def test_in_turns_a_class_of_one_product_is_never_said_of_it_but_known_in_the_end(strategy):
    features = catalogue()
    at = int(np.flatnonzero(both(features))[0])
    fitted = fitted_as(settings(), strategy, 3, relabelled(features, at, "own"), TURNS)
    assert fitted.model.classes == [*CLASSES, "own"]
    said = fitted.validated
    if strategy == "early":
        assert said.uncalibrated[at, 3] == 0
        assert not said.uncalibrated[TURNS[at] == TURNS, 3].any()
    assert said.probabilities[at, 3] < 1e-3
    assert said.probabilities[TURNS[at] != TURNS, 3].max() > said.probabilities[at, 3]
    # In the end it was trained on.
    found = fitted.model.predict(features.where(np.arange(N) == at))
    assert found.probabilities[0, 3] > 0.1


def test_a_class_that_a_member_did_not_meet_gets_none_of_its_trust():
    features = catalogue()
    alone = ~features.has("text") & (features.labels == "d")
    features = relabelled(features, alone, "only pictures")
    model = fitted_as(settings(), "early", 3, features, ONE).model
    at = model.classes.index("only pictures")
    seen_in_text = model.predict(withheld(catalogue(seed=2), "image")).uncalibrated
    assert not seen_in_text[:, at].any()
    in_picture = model.predict(withheld(catalogue(seed=2), "text")).uncalibrated
    assert in_picture[:, at].max() > 0.1


@dataclass
class Counted:
    """A classifier that knows its validation losses and nothing else."""

    classes: list[str]
    history: dict[str, list[float]] = field(default_factory=dict)

    def predict_proba(self, features: Features) -> np.ndarray:
        n, classes = len(features.labels), len(self.classes)
        return np.full((n, classes), 1 / classes, dtype=np.float32)


def test_after_turns_epochs_are_as_many_as_were_best_in_the_median(monkeypatch):
    losses = iter([[3.0, 2.0, 1.0, 2.0, 3.0], [1.0, 2.0], [5.0, 4.0, 3.0, 2.0, 1.0, 9.0]])
    asked = []

    def fit(settings: Any, seed: int, train: Features, validation: Features | None) -> Counted:
        asked.append((settings.epochs, len(train.labels), validation is not None))
        classes = sorted(set(train.labels.tolist()))
        return Counted(classes, {"validation_loss": next(losses)} if validation else {})

    monkeypatch.setattr("stages.classifiers.mlp.fit", fit)
    features = catalogue()
    features = features.where(features.has("text")).of({"text"})
    n = len(features.labels)
    parts = TURNS[:n]
    fitted = fitted_as(settings("mlp", max_epochs=100), "early", 3, features, parts)
    turns = [(100, int((parts != name).sum()), True) for name in sorted(set(parts))]
    assert asked == [*turns, (3, n, False)]
    assert fitted.history == {"validation_loss": [3.0, 2.0, 1.0, 2.0, 3.0]}


def test_one_part_s_members_stop_on_the_validation_products_that_they_can_see(monkeypatch):
    met = []

    def fit(settings: Any, seed: int, train: Features, validation: Features) -> Any:
        for features in (train, validation):
            met.append((sorted(features.blocks), len(features.labels)))
        return logistic_regression.fit(settings, seed, train, validation)

    features = catalogue()
    monkeypatch.setattr("stages.classifiers.svm.fit", fit)
    quick = settings().model_copy(update={"kind": "svm"})
    fitted_as(quick, "early", 3, features, ONE)
    train, out = ONE == "train", ONE == "validation"
    wanted = [
        (blocks, int((has & part).sum()))
        for blocks, has in (
            (["photo", "pieces", "words"], features.seen()),
            (["photo"], features.has("image")),
            (["pieces", "words"], features.has("text")),
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
        fitted_as(settings(), strategy, 3, features, parts)


@PARTS
@STRATEGY
@pytest.mark.parametrize("kind", ["logistic_regression", "random_forest"])
def test_pictures_of_one_class_are_refused_whatever_the_classifier(kind, strategy, parts):
    features = catalogue()
    photo = features.present["photo"] & (features.labels == "a")
    features = replace(features, present=features.present | {"photo": photo})
    seen = features.seen()
    with pytest.raises(InputError, match="training products with image input are of 1 classes"):
        fitted_as(settings(kind), strategy, 3, features.where(seen), parts[seen])


def test_a_validation_part_of_unknown_classes_is_refused():
    features = catalogue()
    labels = np.where(ONE == "validation", "another", features.labels)
    with pytest.raises(InputError, match=r"no validation product .* raise split\.validation"):
        fitted_as(settings(), "early", 3, replace(features, labels=labels), ONE)


@pytest.mark.parametrize("missing", ["image", "text"])
def test_a_turn_that_lacks_an_input_is_refused(missing):
    features = catalogue()
    turn = TURNS == "validation-2"
    present = {
        name: there & ~(turn & (KINDS[name] == missing)) for name, there in features.present.items()
    }
    features = replace(features, present=present)
    seen = features.seen()
    with pytest.raises(InputError, match=rf"{missing} input .*lower split\.validation_folds"):
        fitted_as(settings(), "late", 3, features.where(seen), TURNS[seen])


@STRATEGY
def test_validation_products_of_which_none_has_both_are_refused(strategy):
    features = catalogue()
    kept = (ONE == "train") | ~both(features)
    with pytest.raises(InputError, match="no validation product has both pictures and texts"):
        fitted_as(settings(), strategy, 3, features.where(kept), ONE[kept])


def test_products_without_a_validation_part_are_refused():
    with pytest.raises(InputError, match="no validation product"):
        fitted_as(settings(), "early", 3, catalogue(), np.array(["train"] * N))


def test_a_block_that_is_not_there_to_train_on_is_refused():
    features = catalogue()
    photo = features.present["photo"] & (ONE == "validation")
    features = replace(features, present=features.present | {"photo": photo})
    seen = features.seen()
    with pytest.raises(InputError, match="not two products to train on have a photo input"):
        fitted_as(settings(), "early", 3, features.where(seen), ONE[seen])


@pytest.mark.parametrize(
    "planted", [b"", b"\x80\x04", b"[]", b"{}", b'{"kind": "os", "members": {}}']
)
def test_what_describes_no_model_is_refused_by_its_name(tmp_path, planted):
    fitted_as(settings("mlp"), "early", 3, catalogue(), ONE).model.save(tmp_path)
    for file in (tmp_path / "text" / "network.json", tmp_path / fusion.BUILD_FILE):
        file.write_bytes(planted)
        with pytest.raises(InputError, match=rf"{file.name} describes no (network|model)"):
            fusion.load(tmp_path)


def test_a_folder_that_holds_no_model_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no model: `dvc repro` trains it"):
        fusion.load(tmp_path)


def test_a_model_whose_projection_is_gone_is_not_loaded(tmp_path):
    fitted_as(settings(), "late", 3, catalogue(), ONE).model.save(tmp_path)
    (tmp_path / "projection.safetensors").unlink()
    with pytest.raises(InputError, match=r"projection\.safetensors is not there"):
        fusion.load(tmp_path)
