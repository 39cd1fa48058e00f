"""What tunes an image network sees the images of training products alone, and is served."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from helpers.encoders import described_encoder
from helpers.image_networks import SIDE, striped, write_image_network
from helpers.repository import TOP
from ruamel.yaml import YAML

from serving import Predictor
from stages import train
from stages.common.paths import FEATURES, IMAGES, PRODUCTS, SPLITS, weights
from stages.common.splits import Splits, write_splits
from stages.common.tables import IMAGES as IMAGES_SCHEMA
from stages.common.tables import PRODUCTS as PRODUCTS_SCHEMA
from stages.common.tables import (
    features_schema,
    from_arrow,
    metadata_of,
    read_table,
    to_arrow,
    write_table,
)
from stages.download.image_conversion import to_jpeg
from stages.encoders.huggingface_image import Settings as ImageSettings
from stages.encoders.weights.huggingface import WEIGHTS
from stages.encoders.weights.manifest import Manifest, digest, write_manifest
from stages.fusion.model_file import ENCODERS

N = 150
TUNING = {"max_epochs": 10, "batch_size": 8, "learning_rate": 0.01}
ROLES = np.array(["train", "train", "train", "validation", "test"] * (N // 5))
IS_UPRIGHT = np.random.default_rng(0).integers(2, size=N).astype(bool)
LABELS = np.array(["across", "upright"])[IS_UPRIGHT.astype(int)]
SKUS = np.array([f"s{i:03d}" for i in range(N)], dtype=object)
WITHOUT_IMAGE = 9  # a product for testing
JPEGS = [to_jpeg(striped(bool(one), number), SIDE) for number, one in enumerate(IS_UPRIGHT)]
# The frozen vectors say nothing of the class.
SIZES = {"convnextv2": 16, "minilm": 8}


def write_catalogue(strategy: str) -> None:
    """Write what train reads: products in two shards of images, one of them without an image."""
    params = YAML(typ="safe").load(TOP / "params.yaml")
    params["classifiers"] = {"finetuned_image": TUNING}
    params["fusion"]["strategy"] = strategy
    Path("params.yaml").write_text(json.dumps(params))
    settings = ImageSettings(kind="huggingface_image", model="lab/network")
    folder = weights("convnextv2")
    write_image_network(folder)
    manifest = Manifest("pretrained", "lab", None, digest(folder, WEIGHTS))
    write_manifest(folder, manifest, settings.weights_request())
    encoder = described_encoder("convnextv2", "image", kind="pretrained", sha256=manifest.sha256)
    encoder |= {"settings": settings.model_dump(mode="json"), "image_size": SIDE}
    encoder["weights"]["origin"] = "lab"
    groups = np.array([f"g{i}" for i in range(N)], dtype=object)
    turns = np.zeros((N, 1), dtype=np.int32)
    write_splits(SPLITS, Splits(SKUS, LABELS, groups, ROLES[:, None], turns))
    columns = [SKUS.tolist(), *([[""] * N] * 3), LABELS.tolist(), [None] * N]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, PRODUCTS_SCHEMA, strict=True)]
    write_table(PRODUCTS, pa.table(arrays, schema=PRODUCTS_SCHEMA))
    there = np.arange(N) != WITHOUT_IMAGE
    rows = [
        {"sku": sku, "jpeg": jpeg if has else None, "status": "ok" if has else "none"}
        for sku, jpeg, has in zip(SKUS, JPEGS, there, strict=True)
    ]
    rows = [dict.fromkeys(IMAGES_SCHEMA.names) | row for row in rows]
    for part, file in ((rows[:70], "part-0.parquet"), (rows[70:], "part-1.parquet")):
        write_table(IMAGES / file, pa.Table.from_pylist(part, schema=IMAGES_SCHEMA))
    rng = np.random.default_rng(1)
    vectors = {name: rng.normal(size=(N, size)).astype(np.float32) for name, size in SIZES.items()}
    blocks = [
        to_arrow(
            one / np.linalg.norm(one, axis=1, keepdims=True),
            there if name == "convnextv2" else np.ones(N, dtype=bool),
        )
        for name, one in vectors.items()
    ]
    metadata = {
        "encoders": {"convnextv2": encoder, "minilm": described_encoder("minilm", "text")},
        "inputs": {"convnextv2": "image", "minilm": "text"},
        "n_features": SIZES,
        "svd_components": {},
        "modalities": {
            "image": {"convnextv2": 1.0},
            "multimodal": {"convnextv2": 0.6, "minilm": 0.8},
        },
    }
    schema = features_schema(SIZES)
    write_table(FEATURES, pa.table([pa.array(SKUS.tolist()), *blocks], schema=schema), metadata)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Give a folder in which the models were trained, by early fusion."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train", "--classifier", "finetuned_image"])
        write_catalogue("early")
        train.main()
    return folder


@pytest.fixture(autouse=True)
def here(trained, monkeypatch) -> None:
    monkeypatch.chdir(trained)


def predicted(modality: str, ablated: str = "") -> tuple[np.ndarray, list[str], list[str]]:
    """Return probabilities, SKUs and classes of the test products."""
    folder = Path("models/trained/finetuned_image") / modality
    table = read_table(folder / "probabilities.parquet")
    columns = [table[name].to_pylist() for name in ("role", "ablated_modality")]
    chosen = (np.array(columns[0]) == "test") & (np.array(columns[1]) == ablated)
    rows, _ = from_arrow(table["probabilities"])
    skus = np.array(table["sku"].to_pylist())[chosen].tolist()
    return rows[chosen], skus, metadata_of(table.schema)["classes"]


def accuracy(modality: str, ablated: str = "") -> float:
    rows, skus, classes = predicted(modality, ablated)
    labels = dict(zip(SKUS.tolist(), LABELS.tolist(), strict=True))
    wanted = np.array([labels[sku] for sku in skus])
    return float((np.array(classes)[rows.argmax(axis=1)] == wanted).mean())


def test_images_that_were_not_seen_are_classified():
    assert accuracy("image") > 0.9
    assert accuracy("multimodal") > 0.85


def test_without_its_image_a_product_is_judged_by_the_rest():
    _, skus, _ = predicted("multimodal", "image")
    assert len(skus) == (ROLES == "test").sum() - 1
    assert accuracy("multimodal", "image") < 0.7
    assert accuracy("multimodal", "text") > 0.85


def test_new_products_are_judged_as_those_for_testing_were():
    model = Path("models/trained/finetuned_image/image")
    shutil.copytree(weights("convnextv2"), model / ENCODERS / "convnextv2", dirs_exist_ok=True)
    rows, skus, classes = predicted("image")
    jpegs = dict(zip(SKUS.tolist(), JPEGS, strict=True))
    predictor = Predictor.load(model)
    found = predictor.predict([*({"image": jpegs[sku]} for sku in skus), {"name": "a box"}], top=2)
    assert found[-1].error == "it has no image"
    for row, answer in zip(rows, found[:-1], strict=True):
        assert answer.label == classes[row.argmax()]
        assert answer.probability == pytest.approx(row.max(), abs=1e-3)
    assert (model / "history.csv").read_text().startswith("fold,epoch,train_loss,validation_loss")
