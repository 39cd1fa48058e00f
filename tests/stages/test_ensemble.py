"""An ensemble is learnt on validation products, judged on others, and served as it was judged."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from helpers.features_to_train import CLASSES, FIRST, WEIGHTS, Products, predictions

from stages import ensemble, train
from stages.common import paths
from stages.common.errors import InputError
from stages.common.tables import from_arrow, read_table, to_arrow
from stages.fusion.ensemble import ENSEMBLE_FILE, Ensemble, load_fitted
from stages.fusion.ensemble_training import describe_ensemble, pool_tables
from stages.fusion.features import read_features
from stages.fusion.model import ALL
from stages.fusion.model_file import ModelFile

MEMBERS = ["logistic_regression", "svm"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Products]:
    """Give a folder in which two classifiers were trained in one fold, and pooled."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        products = Products()
        products.params["ensemble"]["classifiers"] = MEMBERS
        products.roles = FIRST[:, None]
        products.write()
        for name in MEMBERS:
            patch.setattr(sys, "argv", ["train", "--classifier", name])
            train.main()
        ensemble.main()
    return folder, products


@pytest.fixture
def built(trained, monkeypatch) -> Products:
    """Work in the folder; no test changes it."""
    folder, products = trained
    monkeypatch.chdir(folder)
    return products


def tables(modality: str = "multimodal") -> dict[str, pa.Table]:
    return {
        name: read_table(paths.model(name, modality) / "probabilities.parquet") for name in MEMBERS
    }


def rows_of(table: pa.Table) -> np.ndarray:
    return from_arrow(table["probabilities"])[0]


def changed(table: pa.Table, column: str, values: list[str]) -> pa.Table:
    at = table.schema.get_field_index(column)
    return table.set_column(at, table.schema.field(column), pa.array(values))


def test_the_served_ensemble_gives_the_predictions_in_the_table(built):
    place = paths.model("ensemble", "multimodal")
    model = ModelFile.load(place)
    assert model.name == "multimodal-ensemble"
    fitted = load_fitted(place / model.folder)
    assert isinstance(fitted, Ensemble) and fitted.inputs == {"image", "text"}
    features, rows = read_features(paths.FEATURES, WEIGHTS, built.labels, FIRST == "test")
    found = fitted.predict_each(fitted.preprocessor.transform(features))
    wanted = predictions(place, role="test", ablated_modality="")
    assert len(wanted) == len(rows)
    for row, probabilities in zip(rows, found[ALL], strict=True):
        np.testing.assert_allclose(probabilities, wanted[f"s{row:03d}", 1], rtol=0, atol=1e-6)
    without_image = predictions(place, role="test", ablated_modality="image")
    assert without_image
    by_sku = {
        f"s{row:03d}": probabilities for row, probabilities in zip(rows, found["text"], strict=True)
    }
    for (sku, _), probabilities in without_image.items():
        np.testing.assert_allclose(by_sku[sku], probabilities, rtol=0, atol=1e-6)


def test_it_reads_the_inputs_that_any_of_its_models_reads(built):
    read = {"logistic_regression": ["minilm"], "svm": ["resnet50"]}
    models = {
        name: ModelFile.load(paths.model(name, "multimodal")).model_copy(
            update={"reads_inputs_of": encoders}
        )
        for name, encoders in read.items()
    }
    described = describe_ensemble(models, pool_tables(tables()))
    assert described.reads_inputs_of == ["minilm", "resnet50"]


def test_an_input_that_a_product_lacks_says_nothing(built):
    place = paths.model("ensemble", "multimodal")
    fitted = load_fitted(place / ModelFile.load(place).folder)
    features, _ = read_features(paths.FEATURES, WEIGHTS, built.labels, FIRST == "test")
    found = fitted.predict_each(fitted.preprocessor.transform(features))
    for name in ("image", "text"):
        has = features.has_modality(name)
        assert not has.all() and not found[name][~has].any()
        np.testing.assert_allclose(found[name][has].sum(axis=1), 1, atol=1e-5)


def test_what_the_models_share_is_saved_once(built):
    place = paths.model("ensemble", "multimodal")
    found = list(place.rglob("preprocessing.safetensors"))
    assert [file.parent for file in found] == [place / "fold-1"]


def test_test_products_choose_nothing(built):
    given = tables()
    before = pool_tables(given)
    roles = np.array(before.table["role"].to_pylist())
    labels = np.array(before.table["label"].to_pylist())
    shuffled = np.where(roles == "test", np.roll(labels, 7), labels).tolist()
    after = pool_tables({name: changed(table, "label", shuffled) for name, table in given.items()})
    np.testing.assert_array_equal(rows_of(after.table), rows_of(before.table))
    assert after.pool == before.pool


def test_products_that_several_folds_predict_count_once(built):
    given = {name: table.drop_columns("fold") for name, table in tables().items()}
    at = given["svm"].schema.get_field_index("role")

    def in_folds(table: pa.Table, count: int) -> pa.Table:
        parts = []
        for fold in range(1, count + 1):
            column = pa.array([fold] * len(table), pa.int32())
            parts.append(table.add_column(at, pa.field("fold", pa.int32(), False), column))
        return pa.concat_tables(parts)

    once, often = (
        pool_tables({name: in_folds(table, count) for name, table in given.items()}).pool
        for count in (1, 4)
    )
    assert often.weights == pytest.approx(once.weights, rel=1e-3)


def test_a_class_that_no_model_knew_gets_nothing(built):
    made = {}
    for name, table in tables().items():
        rows = rows_of(table).copy()
        rows[::2, 1] = 0
        rows[::2] /= rows[::2].sum(axis=1, keepdims=True)
        at = table.schema.get_field_index("probabilities")
        made[name] = table.set_column(at, table.schema.field(at), to_arrow(rows))
    pooled = rows_of(pool_tables(made).table)
    assert not pooled[::2, 1].any() and pooled[1::2].all()
    np.testing.assert_allclose(pooled.sum(axis=1), 1, atol=1e-5)


def test_a_validation_product_does_not_choose_how_it_is_pooled_itself(built):
    given = tables()
    before = pool_tables(given)
    roles = np.array(before.table["role"].to_pylist())
    groups = np.array(before.table["group"].to_pylist())
    labels = np.array(before.table["label"].to_pylist())
    group = groups[roles == "validation"][0]
    own = (groups == group) & (roles == "validation")
    others = np.array([CLASSES[(CLASSES.index(label) + 1) % 3] for label in labels])
    wrong = np.where(own, others, labels).tolist()
    after = pool_tables({name: changed(table, "label", wrong) for name, table in given.items()})
    moved = (rows_of(after.table) != rows_of(before.table)).any(axis=1)
    assert not moved[own].any()
    assert moved[(roles == "validation") & ~own].any()


def test_a_classifier_that_is_right_where_the_other_is_not_is_trusted(built):
    given = tables()
    first = given["svm"]
    classes = np.searchsorted(CLASSES, np.array(first["label"].to_pylist()))
    right = np.full((len(first), 3), 0.1, dtype=np.float32)
    right[np.arange(len(first)), classes] = 0.8
    noise = np.random.default_rng(0).dirichlet([1, 1, 1], len(first)).astype(np.float32)
    made = {}
    for name, rows in (("right", right), ("noise", noise)):
        at = first.schema.get_field_index("probabilities")
        made[name] = first.set_column(at, first.schema.field(at), to_arrow(rows))
    pooled = pool_tables(made)
    assert pooled.pool.weights["right"] > 10 * pooled.pool.weights["noise"]
    assert (rows_of(pooled.table).argmax(axis=1) == classes).all()


def test_tables_of_different_products_are_refused(built):
    given = tables()
    given["svm"] = given["svm"].slice(1)
    with pytest.raises(InputError, match="logistic_regression, svm predict for different products"):
        pool_tables(given)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (MEMBERS, "names logistic_regression, svm, of which svm is trained: two are needed"),
        (["mlp"], "names mlp, of which none is trained: two are needed"),
        (["svm"], "names svm, of which svm is trained: two are needed"),
        ([], "is empty"),
    ],
)
def test_one_classifier_is_no_ensemble(tmp_path, monkeypatch, capsys, asked, said):
    monkeypatch.chdir(tmp_path)
    products = Products()
    products.params["classifiers"] = {"svm": products.params["classifiers"]["svm"]}
    products.params["ensemble"]["classifiers"] = asked
    products.write()
    ensemble.main()
    assert capsys.readouterr().out == f"ensemble: left out: ensemble.classifiers {said}\n"
    assert list(paths.ENSEMBLE.iterdir()) == []


@pytest.mark.parametrize(
    "planted",
    [
        b"[]",
        b"{}",
        b'{"classes": ["a"], "pool": {"weights": {}, "prior_exponent": 0, "frequencies": [1]}}',
        b'{"classes": [], "pool": {"weights": {"../x": 1}, "prior_exponent": 0, "frequencies": 1}}',
    ],
)
def test_what_describes_no_ensemble_is_refused(tmp_path, planted):
    (tmp_path / ENSEMBLE_FILE).write_bytes(planted)
    with pytest.raises(InputError, match=r"pool\.json describes no ensemble"):
        load_fitted(tmp_path)
