"""What tunes an image network sees the images of training products alone, and is served."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.tuned_catalogue import IS_UPRIGHT, JPEGS, ROLES, SKUS, write_catalogue

from serving import Predictor
from stages import train
from stages.common.paths import weights
from stages.common.tables import from_arrow, metadata_of, read_table
from stages.fusion.model_file import ENCODERS

TUNING = {"max_epochs": 10, "batch_size": 8, "learning_rate": 0.01}
LABELS = np.array(["across", "upright"])[IS_UPRIGHT.astype(int)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Give a folder in which the models were trained, by early fusion."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train", "--classifier", "finetuned_image"])
        write_catalogue({"finetuned_image": TUNING}, "early", LABELS)
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
