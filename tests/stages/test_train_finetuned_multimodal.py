"""What tunes both networks sees the images and texts of training products alone, and is served."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.tuned_catalogue import (
    IS_BOX,
    IS_UPRIGHT,
    JPEGS,
    ROLES,
    SKUS,
    TEXTS,
    WITHOUT_IMAGE,
    write_catalogue,
)

from serving import Predictor
from stages import train
from stages.common.paths import weights
from stages.common.tables import from_arrow, metadata_of, read_table
from stages.fusion.model_file import ENCODERS

QUICK = {"max_epochs": 10, "batch_size": 8, "learning_rate": 0.01}
LABELS = np.array(
    [f"{'box' if b else 'ball'} {u}" for b, u in zip(IS_BOX, IS_UPRIGHT * 1, strict=True)]
)
MODELS = Path("models/trained/finetuned_multimodal")


@pytest.fixture(scope="module", autouse=True)
def trained(tmp_path_factory):
    """Go to a folder in which the models were trained, by two processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trained"))
        patch.setattr(sys, "argv", ["train", "--classifier", "finetuned_multimodal"])
        settings = {"image": QUICK, "text": QUICK | {"layers": 2, "learning_rate": 0.003}}
        write_catalogue({"finetuned_multimodal": settings}, "early", LABELS)
        train.main()
        yield


def test_products_that_were_not_seen_are_classified_by_both():
    table = read_table(MODELS / "multimodal" / "probabilities.parquet")
    classes = np.array(metadata_of(table.schema)["classes"])
    found = classes[from_arrow(table["probabilities"])[0].argmax(axis=1)]
    role, ablated, label = (
        np.array(table[name].to_pylist()) for name in ("role", "ablated_modality", "label")
    )
    right = found == label
    assert right[(role == "test") & (ablated == "")].mean() > 0.85
    for hidden in ("image", "text"):  # half of the classes are told apart by the other
        chosen = (role == "test") & (ablated == hidden)
        assert chosen.sum() == (ROLES == "test").sum() - 1
        assert 0.3 < right[chosen].mean() < 0.8


def test_new_products_are_judged_as_those_for_testing_were():
    model = MODELS / "multimodal"
    for name in ("convnextv2", "minilm"):
        shutil.copytree(weights(name), model / ENCODERS / name, dirs_exist_ok=True)
    table = read_table(model / "probabilities.parquet").to_pylist()
    classes = metadata_of(read_table(model / "probabilities.parquet").schema)["classes"]
    wanted = {
        row["sku"]: row["probabilities"]
        for row in table
        if row["role"] == "test" and not row["ablated_modality"]
    }
    at = [SKUS.tolist().index(sku) for sku in wanted]
    predictor = Predictor.load(model)
    products = [{"name": TEXTS[i], "image": None if i == WITHOUT_IMAGE else JPEGS[i]} for i in at]
    for answer, probabilities in zip(predictor.predict(products), wanted.values(), strict=True):
        assert answer.label == classes[int(np.argmax(probabilities))]
        assert answer.probability == pytest.approx(max(probabilities), abs=1e-3)
    curves = (model / "history.csv").read_text()
    assert curves.startswith("fold,epoch,train_loss,validation_loss")
