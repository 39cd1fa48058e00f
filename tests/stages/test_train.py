"""Training writes a model per fold, what it was made from, and its predictions."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.features_to_train import (
    CLASSES,
    FIRST,
    FOLDS,
    IN_TURNS,
    METADATA,
    NO_TURNS,
    SIZES,
    TURNS,
    WEIGHTS,
    WITHOUT_IMAGE,
    WITHOUT_TEXT,
    N,
    Products,
    predictions,
)
from helpers.repository import TOP

from stages import train
from stages.classifiers import mlp, svm
from stages.common.errors import InputError
from stages.common.files import md5_of
from stages.common.paths import FEATURES, SPLITS
from stages.common.splits import Splits, write_splits
from stages.common.tables import (
    features_schema,
    from_arrow,
    metadata_of,
    probabilities_schema,
    read_table,
    write_table,
)
from stages.fusion.features import read_features
from stages.fusion.model import FusedModel
from stages.fusion.model_file import ModelFile

KINDS = ["logistic_regression", "svm", "random_forest", "mlp"]
PARTS = pytest.mark.parametrize(
    ("roles", "turns"), [(FOLDS, NO_TURNS), (IN_TURNS, TURNS)], ids=["folds", "turns"]
)


@pytest.fixture
def products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Products:
    monkeypatch.chdir(tmp_path)
    return Products()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    def run(kind: str = "logistic_regression", modality: str = "multimodal") -> Path:
        monkeypatch.setattr(sys, "argv", ["train", "--classifier", kind])
        train.main()
        return Path("models/trained") / kind / modality

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as DVC does: processes that pytest started would stay in another test's folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def skus(chosen: np.ndarray) -> set[str]:
    return {f"s{at:03d}" for at in np.flatnonzero(chosen)}


def assert_same(one: dict[Any, np.ndarray], other: dict[Any, np.ndarray], atol: float = 0) -> None:
    assert one.keys() == other.keys() and one
    for key, vector in one.items():
        np.testing.assert_allclose(vector, other[key], rtol=0, atol=atol)


@PARTS
def test_it_predicts_for_the_held_out_products_that_it_can_see(products, run, roles, turns):
    products.roles, products.turns = roles, turns
    products.write()
    table = read_table(run() / "probabilities.parquet", probabilities_schema(3))
    seen = ~(WITHOUT_IMAGE & WITHOUT_TEXT)
    both = ~(WITHOUT_IMAGE | WITHOUT_TEXT)
    assert (~seen).sum() > 0
    wanted = set()
    for fold, column in enumerate(roles.T, start=1):
        test, validation = column == "test", column == "validation"
        wanted |= {(sku, fold, "validation", "") for sku in skus(seen & validation)}
        wanted |= {(sku, fold, "test", "") for sku in skus(seen & test)}
        for ablated in ("image", "text"):
            wanted |= {(sku, fold, "test", ablated) for sku in skus(both & test)}
    found = [
        (row["sku"], row["fold"], row["role"], row["ablated_modality"]) for row in table.to_pylist()
    ]
    assert len(found) == len(wanted) and set(found) == wanted
    splits = {row["sku"]: row for row in read_table(SPLITS).to_pylist()}
    for row in table.to_pylist():
        assert row["label"] == splits[row["sku"]]["label"]
        assert row["group"] == splits[row["sku"]]["group"]
    for name in ("probabilities", "uncalibrated"):
        rows, present = from_arrow(table[name])
        assert present.all()
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    columns = np.searchsorted(CLASSES, table["label"].to_pylist())
    assert (rows.argmax(axis=1) == columns).mean() > 0.7


def test_metadata_says_what_columns_stand_for_and_what_was_not_seen(products, run):
    products.roles = FIRST[:, None]
    products.write()
    metadata = metadata_of(read_table(run() / "probabilities.parquet").schema)
    unseen = FIRST[WITHOUT_IMAGE & WITHOUT_TEXT]
    assert metadata == {
        "classes": CLASSES,
        "weights": {"resnet50": "random", "minilm": "pretrained"},
        "n_without_input": {
            "validation": int((unseen == "validation").sum()),
            "test": int((unseen == "test").sum()),
        },
    }


def test_a_product_that_is_not_seen_is_counted_once_however_many_turns_it_takes(products, run):
    at = int(np.flatnonzero(WITHOUT_IMAGE & WITHOUT_TEXT)[0])
    products.roles = np.repeat(IN_TURNS, 3, axis=1)
    products.turns = np.repeat(TURNS, 3, axis=1)
    products.roles[WITHOUT_IMAGE & WITHOUT_TEXT] = "train"
    products.turns[WITHOUT_IMAGE & WITHOUT_TEXT] = 0
    products.roles[at], products.turns[at] = ["validation", "validation", "test"], [1, 2, 0]
    products.write()
    metadata = metadata_of(read_table(run(modality="multimodal") / "probabilities.parquet").schema)
    assert metadata["n_without_input"] == {"validation": 1, "test": 1}


def test_the_model_in_a_fold_s_folder_gives_the_predictions_in_the_table(products, run):
    products.write()
    folder = run()
    for fold in (1, 2):
        is_test = FOLDS[:, fold - 1] == "test"
        features, rows = read_features(FEATURES, WEIGHTS, products.labels, is_test)
        found = FusedModel.load(folder / f"fold-{fold}").predict_proba(features).probabilities
        wanted = predictions(folder, fold=fold, role="test", ablated_modality="")
        pairs = zip(rows, found, strict=True)
        assert_same({(f"s{at:03d}", fold): row for at, row in pairs}, wanted)


@pytest.mark.parametrize("strategy", ["hybrid", "early", "late"])
def test_a_product_without_its_image_is_classified_as_by_the_model_of_the_text(
    products, run, strategy
):
    products.params["fusion"]["strategy"] = strategy
    products.write()
    both, text = run(), Path("models/trained/logistic_regression/text")
    alone = predictions(text, role="test")
    ablated = predictions(both, role="test", ablated_modality="image")
    assert_same(ablated, {key: alone[key] for key in ablated}, atol=1e-6)
    shown = predictions(both, role="test", ablated_modality="")
    assert all((shown[key] != row).any() for key, row in ablated.items())
    lacking = {key: row for key, row in shown.items() if key[0] in skus(WITHOUT_IMAGE)}
    assert_same(lacking, {key: alone[key] for key in lacking}, atol=1e-6)


@pytest.mark.parametrize("strategy", ["hybrid", "early", "late"])
@PARTS
def test_what_two_modalities_have_in_common_is_fitted_once(
    products, run, monkeypatch, strategy, roles, turns
):
    fits = []
    fit_one = svm.Classifier.fit
    monkeypatch.setattr(svm.Classifier, "fit", lambda *given: fits.append(1) or fit_one(*given))
    products.params["fusion"]["strategy"] = strategy
    products.roles, products.turns = roles, turns
    products.write()
    run("svm")
    members = 2 if strategy == "late" else 3  # image, text and, elsewhere, both
    assert len(fits) == members * 3  # two folds and all products, or two turns and all of them


def test_a_model_of_the_text_alone_has_nothing_ablated(products, run):
    products.write()
    table = read_table(run(modality="text") / "probabilities.parquet")
    assert set(table["ablated_modality"].to_pylist()) == {""}
    assert not set(table["sku"].to_pylist()) & skus(WITHOUT_TEXT)


def test_a_modality_that_the_features_leave_out_is_not_trained(products, run):
    products.write()
    table = read_table(FEATURES).drop_columns(["resnet50"])
    sizes, alone = {"minilm": SIZES["minilm"]}, {"text": {"minilm": 1.0}}
    own = {key: {"minilm": METADATA[key]["minilm"]} for key in ("encoders", "inputs")}
    metadata = METADATA | own | {"n_features": sizes, "modalities": alone}
    write_table(FEATURES, table.cast(features_schema(sizes)), metadata)
    run()
    assert [path.name for path in Path("models/trained/logistic_regression").iterdir()] == ["text"]


def test_a_class_that_a_fold_did_not_train_on_gets_probability_0(products, run):
    # The class games is tested in the first fold and missing from what is left.
    products.labels[(FIRST != "test") & (products.labels == "games")] = "audio"
    products.roles = FIRST[:, None]
    products.write()
    table = read_table(run() / "probabilities.parquet", probabilities_schema(3))
    assert metadata_of(table.schema)["classes"] == CLASSES
    for name in ("probabilities", "uncalibrated"):
        rows, _ = from_arrow(table[name])
        assert not rows[:, CLASSES.index("games")].any()
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("is_refit", [False, True], ids=["judged", "refit"])
def test_model_json_says_all_that_prediction_needs(products, run, is_refit):
    products.params["fusion"]["strategy"] = "late"
    products.params["train"]["refit"] = is_refit
    products.roles = FIRST[:, None]
    products.write()
    folder = run("svm")
    model = ModelFile.load(folder)
    assert model.classifier == {"kind": "svm", **products.params["classifiers"]["svm"]}
    assert (model.modality, model.fusion, model.seed) == ("multimodal", "late", 42)
    assert model.labels == CLASSES[:2] + CLASSES[3:] or model.labels == sorted(set(products.labels))
    assert model.image_size == 224
    assert {name: one.weight for name, one in model.blocks.items()} == WEIGHTS
    assert model.encoders["minilm"].fields == ["name", "description"]
    assert model.encoders["minilm"].weights.origin == "hub"
    assert model.provenance[f"md5 of {FEATURES}"] == md5_of(FEATURES)
    assert model.is_refit == is_refit
    has_any = ~(WITHOUT_IMAGE & WITHOUT_TEXT)
    fitted_to = has_any if is_refit else has_any & (FIRST == "train")
    assert model.n_products == fitted_to.sum()
    assert FusedModel.load(folder / model.folder).classes == model.labels


def test_thresholds_keep_their_promise_on_the_held_out_products(products, run):
    products.roles, products.turns = IN_TURNS, TURNS
    rng, at = np.random.default_rng(1), np.searchsorted(CLASSES, products.labels)
    for name, size in SIZES.items():  # easier to tell apart
        products.rows[name] = 3 * rng.normal(size=(3, size))[at] + rng.normal(size=(N, size))
    products.write()
    thresholds = ModelFile.load(run()).thresholds
    assert list(thresholds) == ["0.9", "0.95", "0.98", "0.99", "0.995"]
    assert thresholds["0.9"] is not None and thresholds["0.995"] is None
    held_out = predictions(Path("models/trained/logistic_regression/multimodal"), role="validation")
    labels = {f"s{at:03d}": label for at, label in enumerate(products.labels)}
    accepted = [
        CLASSES.index(labels[sku]) == row.argmax() if len(row) == len(CLASSES) else None
        for (sku, _), row in held_out.items()
        if row.max() >= thresholds["0.9"]
    ]
    assert len(accepted) > 35 and np.mean(accepted) >= 0.9


def test_few_validation_products_promise_nothing(products, run):
    products.roles = FIRST[:, None]
    products.write()
    assert set(ModelFile.load(run()).thresholds.values()) == {None}


def test_with_several_folds_the_model_that_predicts_is_fitted_to_all_products(products, run):
    products.write()
    folder = run("random_forest")
    model = ModelFile.load(folder)
    assert model.is_refit and model.n_products == (~(WITHOUT_IMAGE & WITHOUT_TEXT)).sum()
    everything = np.ones(N, dtype=bool)
    features, rows = read_features(FEATURES, WEIGHTS, products.labels, everything)
    found = FusedModel.load(folder / model.folder).predict_proba(features).probabilities
    columns = np.searchsorted(model.labels, products.labels[rows])
    # It has seen each of them; a fold's model is right on three of four it has not seen.
    assert (found.argmax(axis=1) == columns).mean() > 0.95


def test_a_model_fitted_to_all_products_has_the_epochs_that_were_best_on_validation(
    products, run, monkeypatch
):
    settings = []
    fit_one = mlp.Classifier.fit

    def fit(self, X, y, validation=None):
        settings.append((self.settings.max_epochs, validation is None))
        return fit_one(self, X, y, validation)

    monkeypatch.setattr(mlp.Classifier, "fit", fit)
    products.params["train"]["refit"] = True
    products.params["classifiers"]["mlp"]["max_epochs"] = 2
    products.modalities = {"text": METADATA["modalities"]["text"]}
    products.roles = FIRST[:, None]
    products.write()
    folder = run("mlp", "text")
    with (folder / "history.csv").open(newline="") as file:
        losses = [float(row["validation_loss"]) for row in csv.DictReader(file)]
    assert settings == [(2, False), (int(np.argmin(losses)) + 1, True)]


def test_learning_curves_are_written_of_what_is_fitted_in_epochs(products, run):
    products.modalities = {"text": METADATA["modalities"]["text"]}
    products.write()
    assert not (run("svm", "text") / "history.csv").exists()
    with (run("mlp", "text") / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["fold"], row["epoch"]) for row in rows] == [
        (fold, epoch) for fold in "12" for epoch in "123"
    ]
    assert all(float(row["validation_loss"]) > 0 for row in rows)


def test_training_an_mlp_does_not_import_tensorflow(products):
    products.roles = FIRST[:, None]
    products.write()
    script = (
        "import sys; from stages import train\n"
        "sys.argv = ['train', '--classifier', 'mlp']\n"
        "train.main()\n"
        "print(*{'keras', 'tensorflow'} & set(sys.modules))\n"
    )
    done = run_python("-c", script)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_products_change_nothing_in_a_model(products, run, kind):
    products.roles = FIRST[:, None]
    products.write()
    folder = run(kind)
    before, validation = files(folder), predictions(folder, role="validation")
    rng = np.random.default_rng(1)
    test = FIRST == "test"
    products.labels[test] = rng.permutation(products.labels[test])
    for rows in products.rows.values():
        rows[test] = rng.normal(size=rows[test].shape)
    products.write()
    run(kind)
    after = files(folder)
    assert before.keys() == after.keys()
    # What names the test products is all that changes.
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"probabilities.parquet", "model.json"}
    assert_same(predictions(folder, role="validation"), validation)


def test_a_fold_s_test_products_may_change_the_models_of_other_folds(products, run):
    products.write()
    folder = run()
    before = files(folder)
    products.labels[(FOLDS[:, 0] == "test") & (FOLDS[:, 1] == "train")] = "audio"
    products.write()
    run()
    after = files(folder)
    changed = {name.split("/")[0] for name in before if before[name] != after[name]}
    assert "fold-1" not in changed and "fold-2" in changed


def test_features_of_other_products_than_the_splits_are_refused(products, run):
    products.write()
    skus = np.array([f"t{at:03d}" for at in range(N)], dtype=object)
    write_splits(SPLITS, Splits(skus, products.labels, skus, FOLDS, NO_TURNS))
    with pytest.raises(InputError, match=r"features\.parquet is of other products"):
        run()


def test_the_same_inputs_give_the_same_bytes(products, run):
    products.write()
    before = files(run())
    assert files(run()) == before


def write_folds_and_turns(products: Products, jobs: int) -> None:
    products.roles = np.column_stack([IN_TURNS, FOLDS])
    products.turns = np.column_stack([TURNS, NO_TURNS])
    products.params["jobs"] = jobs
    products.write()


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what two processes write, by the kind of classifier."""
    folder = tmp_path_factory.mktemp("of_two_processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_folds_and_turns(Products(), jobs=2)
        script = (
            "import sys; from stages import train\n"
            f"for kind in {KINDS}:\n"
            "    sys.argv = ['train', '--classifier', kind]\n"
            "    train.main()\n"
        )
        ended = run_python("-c", script)
    assert ended.returncode == 0, ended.stderr
    return folder / "models" / "trained"


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_write_the_same_bytes_as_one(products, run, of_two_processes, kind):
    write_folds_and_turns(products, jobs=1)
    assert files(run(kind).parent) == files(of_two_processes / kind)


def test_an_error_in_a_process_is_said_in_one_line_with_its_fold(products):
    products.labels[FOLDS[:, 1] == "train"] = CLASSES[0]
    products.params["jobs"] = 2
    products.write()
    ended = run_python("-m", "stages.train", "--classifier", "svm")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: fold 2, text: ") and ended.stderr.count("\n") == 1
    assert "are of 1 classes; two are needed" in ended.stderr


@pytest.mark.parametrize(
    ("wrong", "message"),
    [("one class", "are of 1 classes; two are needed"), ("no validation", "no validation product")],
)
def test_too_few_products_are_refused_by_their_fold_and_nothing_is_written(
    products, run, wrong, message
):
    if wrong == "one class":
        products.labels[FOLDS[:, 1] == "train"] = CLASSES[0]
        products.roles = FOLDS[:, 1:]
    else:
        products.labels[FOLDS[:, 1] == "validation"] = "another"
        products.roles = FOLDS[:, 1:]
    products.write()
    with pytest.raises(InputError, match=rf"fold 1, text: .*{message}"):
        run()
    assert not Path("models/trained").exists() or not list(Path("models/trained").iterdir())


def test_a_failure_leaves_the_old_model_as_it_was(products, run, monkeypatch):
    products.write()
    folder = run()
    before = files(folder)

    def fails(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "write_table", fails)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert files(folder) == before
    assert [path.name for path in Path("models/trained").iterdir()] == ["logistic_regression"]


def test_a_class_that_is_in_one_turn_alone_spoils_no_calibration(products, run):
    products.roles = IN_TURNS
    in_turn = np.where(IN_TURNS[:, 0] == "test", 0, np.arange(len(IN_TURNS)) % 4 // 2 + 1)
    rare = (products.labels == "games") & (in_turn > 0)
    losses = []
    for turns in (in_turn, np.where(rare, 1, in_turn)):
        products.turns = turns.astype(np.int32)[:, None]
        products.write()
        table = read_table(run(modality="text") / "probabilities.parquet", probabilities_schema(3))
        found, _ = from_arrow(table["probabilities"])
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        labels, role = (np.array(table[name].to_pylist()) for name in ("label", "role"))
        of_label = found[np.arange(len(labels)), np.searchsorted(CLASSES, labels)]
        losses.append(-np.log(of_label[role == "test"]).mean())
    is_unknown = (role == "validation") & (labels == "games")
    assert is_unknown.any() and not of_label[is_unknown].any()  # as of a class that a fold lacks
    assert of_label[~is_unknown].all()
    assert losses[1] < 2 * losses[0]
