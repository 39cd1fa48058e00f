"""Packaging puts the best model, its encoders and its card where they can be copied from."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from helpers.models import IMAGE_SIZE, LABELS, image_of, make_model, row_of
from helpers.repository import TOP
from huggingface_hub import ModelCard
from ruamel.yaml import YAML

from serving import Predictor
from stages import package
from stages.common import paths
from stages.common.errors import InputError
from stages.common.splits import Splits, write_splits
from stages.common.tables import (
    IMAGES,
    PRODUCTS,
    features_schema,
    read_table,
    to_arrow,
    write_table,
)
from stages.fusion.model_file import ModelFile

N = 24
LABEL = [LABELS[i % len(LABELS)] for i in range(N)]
SKUS = [f"s{i}" for i in range(N)]
ROLES = np.array(["train", "train", "validation", "test"])[np.arange(N) // 4 % 4]
METRICS = {
    "accuracy": 0.9,
    "macro_f1": 0.8,
    "top3_accuracy": 0.95,
    "interval": {key: {"low": 0.7, "high": 0.99} for key in ("accuracy", "macro_f1")},
    "calibration_error": {"before": 0.2, "after": 0.1},
    "products": 6,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "multimodal")


@pytest.fixture
def trained(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What package reads, below the working directory; return the folder of the model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["package"])
    shutil.copyfile(TOP / "params.yaml", "params.yaml")
    found = ModelFile.load(model)
    folder = paths.MODELS / "logistic_regression/multimodal"
    shutil.copytree(model / found.folder, folder / found.folder)
    found.save(folder)
    for name in found.encoders:
        shutil.copytree(model / "encoders" / name, paths.weights(name))
    rows = [row_of(label, i) for i, label in enumerate(LABEL)]
    products = [row | {"sku": sku, "image": None} for row, sku in zip(rows, SKUS, strict=True)]
    products = [row | {"label": label} for row, label in zip(products, LABEL, strict=True)]
    write_table(paths.PRODUCTS, pa.Table.from_pylist(products, schema=PRODUCTS))
    skus = np.array(SKUS, dtype=object)
    splits = Splits(skus, np.array(LABEL), skus, ROLES[:, None], np.zeros((N, 1), np.int32))
    write_splits(paths.SPLITS, splits)
    images = [
        dict.fromkeys(IMAGES.names) | {"sku": sku, "status": "ok", "jpeg": image_of(label, i)}
        for i, (sku, label) in enumerate(zip(SKUS, LABEL, strict=True))
    ]
    images[0] |= {"jpeg": None, "status": "none"}
    shard = pa.Table.from_pylist(images, schema=IMAGES)
    write_table(paths.IMAGES / "images-00000.parquet", shard, {"size": IMAGE_SIZE})
    features = Predictor.load(model).embed(rows)
    sizes = {
        name: vectors.shape[1] if isinstance(vectors, np.ndarray) else None
        for name, vectors in features.items()
    }
    columns = [pa.array(SKUS), *map(to_arrow, features.values())]
    metadata = {
        "encoders": {name: {} for name in sizes},
        "inputs": {name: block.input for name, block in found.blocks.items()},
        "n_features": {name: block.n_features for name, block in found.blocks.items()},
        "svd_components": {"ngrams": 12},
        "modalities": {"multimodal": {name: one.weight for name, one in found.blocks.items()}},
    }
    write_table(paths.FEATURES, pa.table(columns, schema=features_schema(sizes)), metadata)
    paths.METRICS.mkdir()
    (paths.METRICS / "summary.json").write_text('{"best_model": "multimodal-logistic_regression"}')
    models = {"multimodal": {"logistic_regression": METRICS}}
    (paths.METRICS / "models.json").write_text(json.dumps(models))
    return folder


def test_the_packaged_model_is_whole(trained, model, tmp_path):
    package.main()
    shutil.move(paths.BEST_MODEL, tmp_path / "elsewhere")
    for name in ("models", "data", "metrics", "params.yaml"):
        path = tmp_path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    rows = [row_of(label, 100 + i) for i, label in enumerate(LABELS)]
    found = Predictor.load(tmp_path / "elsewhere").predict(rows)
    assert [one.label for one in found] == LABELS
    assert found == Predictor.load(model).predict(rows)


@pytest.mark.parametrize("name", ["fold-1/preprocessing.safetensors", "neighbors.parquet"])
def test_a_packaged_file_that_was_copied_in_part_is_refused(trained, name):
    package.main()
    whole = (paths.BEST_MODEL / name).read_bytes()
    half = len(whole) // 2  # its end is there: a copy that was resumed in the wrong place
    (paths.BEST_MODEL / name).write_bytes(whole[:half] + bytes(half // 2) + whole[half * 3 // 2 :])
    with pytest.raises(InputError, match=f"{name} is not the file that was packaged: copy the mod"):
        Predictor.load(paths.BEST_MODEL)


def test_what_a_desktop_leaves_in_a_packaged_model_may_change(trained):
    (trained / "fold-1/.DS_Store").write_bytes(b"icons")
    package.main()
    (paths.BEST_MODEL / "fold-1/.DS_Store").write_bytes(b"other icons")
    assert Predictor.load(paths.BEST_MODEL).labels == LABELS


def test_a_packaged_model_may_leave_its_neighbours_behind(trained):
    package.main()
    (paths.BEST_MODEL / "neighbors.parquet").unlink()
    [found] = Predictor.load(paths.BEST_MODEL).predict([row_of(LABEL[1], 1)], neighbors=1)
    assert (found.label, found.neighbors) == (LABEL[1], [])


def test_the_index_has_the_training_products_alone_with_small_images(trained):
    package.main()
    table = read_table(paths.BEST_MODEL / "neighbors.parquet")
    training = [sku for sku, role in zip(SKUS, ROLES, strict=True) if role == "train"]
    assert table["sku"].to_pylist() == training
    assert table["thumbnail"].is_null().to_pylist() == [sku == "s0" for sku in training]
    [found] = Predictor.load(paths.BEST_MODEL).predict([row_of(LABEL[1], 1)], neighbors=1)
    [nearest] = found.neighbors
    assert (nearest.sku, nearest.label) == ("s1", LABEL[1])


def test_a_model_of_all_products_may_show_all_of_them(trained):
    ModelFile.load(trained).model_copy(update={"is_refit": True}).save(trained)
    package.main()
    assert read_table(paths.BEST_MODEL / "neighbors.parquet")["sku"].to_pylist() == SKUS
    card = (paths.BEST_MODEL / "README.md").read_text(encoding="utf-8")
    assert "none is left to test it with" in " ".join(card.split())


def test_the_model_names_the_columns_and_not_where_the_catalogue_was(trained):
    params = YAML(typ="safe").load(Path("params.yaml"))
    params["data"]["source"] = "table"
    archive = "https://shop.example/all.zip?X-Signature=5ec4e7"
    params["data"]["table"] |= {"path": "items.csv", "image_path": "photo", "archive": archive}
    Path("params.yaml").write_text(json.dumps(params), encoding="utf-8")
    package.main()
    said = (paths.BEST_MODEL / "model.json").read_text(encoding="utf-8")
    assert json.loads(said)["table"]["image_path"] == "photo"
    assert "5ec4e7" not in said and "items.csv" not in said


def test_the_card_is_one_that_the_hub_reads_and_warns_of_the_demo(trained):
    package.main()
    card = ModelCard.load(paths.BEST_MODEL / "README.md")
    assert card.data.model_name == "multimodal-logistic_regression"
    values = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert values == {"accuracy": 0.9, "f1": 0.8}
    assert "no evidence of quality: its products are drawn" in card.text
    assert "0.9000 (0.7000 to 0.9900)" in card.text
    assert "| 99.5 %" in card.text and "none is promised" in card.text
    assert all(label in card.text for label in LABELS)


def test_the_evaluation_and_the_table_s_columns_go_with_the_model(trained):
    text = Path("params.yaml").read_text(encoding="utf-8").replace("source: demo", "source: table")
    Path("params.yaml").write_text(text, encoding="utf-8")
    package.main()
    model = ModelFile.load(paths.BEST_MODEL)
    assert model.evaluation == METRICS
    assert model.table["name"] == "name"


def test_other_weights_than_the_model_was_trained_with_are_refused(trained):
    manifest = paths.weights("colour") / "manifest.json"
    text = manifest.read_text(encoding="utf-8").replace('"sha256": "', '"sha256": "0')
    manifest.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="colour are not the weights of multimodal-logistic"):
        package.main()
    assert not paths.BEST_MODEL.exists()


def test_a_model_in_int8_takes_its_network_along_and_not_the_weights(trained):
    model = ModelFile.load(trained)
    in_int8 = model.encoders["colour"].model_copy(update={"precision": "int8"})
    encoders = {**model.encoders, "colour": in_int8}
    model.model_copy(update={"encoders": encoders}).save(trained)
    with pytest.raises(InputError, match="networks/colour holds no weights: `dvc repro`"):
        package.main()
    shutil.copytree(paths.weights("colour"), paths.network("colour"))
    (paths.weights("colour") / "model.onnx").unlink()
    package.main()
    assert (paths.BEST_MODEL / "encoders/colour/model.onnx").is_file()


@pytest.mark.parametrize("name", ["summary", "models"])
def test_missing_metrics_are_named(trained, name):
    (paths.METRICS / f"{name}.json").unlink()
    with pytest.raises(InputError, match=f"{name}.json is not there: `dvc repro`"):
        package.main()
