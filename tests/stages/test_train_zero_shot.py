"""Zero-shot through the stages, from weights to a model that is served, with a small CLIP."""

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
from helpers.clip_models import image_vectors, text_vectors, write_clip
from helpers.repository import TOP
from ruamel.yaml import YAML

from serving import Predictor
from stages import embed_images, embed_text, fetch_weights, fuse, train
from stages.common.paths import PRODUCTS, SPLITS, weights
from stages.common.splits import Splits, write_splits
from stages.common.tables import IMAGES, from_arrow, metadata_of, read_table, write_table
from stages.common.tables import PRODUCTS as PRODUCTS_SCHEMA
from stages.download.image_conversion import to_jpeg
from stages.fusion.model_file import ENCODERS

N = 45
CLASSES = ["ball", "box", "cup"]
LABELS = np.array(CLASSES)[np.random.default_rng(0).integers(3, size=N)]
ROLES = np.array(["train", "validation", "test"] * (N // 3))
PROMPTS = [f"a photo of a {label}" for label in CLASSES]
TESTED = np.flatnonzero(ROLES == "test")


def jpeg(number: int) -> bytes:
    """Return a product's image: nine colours."""
    colours = np.random.default_rng(number).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(colours).resize((32, 32), 0).save(file, "PNG")
    return to_jpeg(file.getvalue(), 32)


def text(number: int) -> str:
    return " ".join(
        np.random.default_rng(number).permutation(["red", "tv", "cup", "on", "box"])[:3]
    )


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    """A folder in which the stages have trained `zero_shot` on made-up products."""
    top = tmp_path_factory.mktemp("catalogue")
    write_clip(top / "clip")
    params = YAML(typ="safe").load(TOP / "params.yaml")
    towers = {kind: {"kind": kind, "model": "lab/clip"} for kind in ("clip_image", "clip_text")}
    params["encoders"] |= {name: one | {"path": "clip"} for name, one in towers.items()}
    params["image"] = {"size": 32, "encoders": ["clip_image"]}
    params["text"] = {"encoders": ["clip_text", "ngrams"], "fields": ["name"]}
    params["classifiers"] = {"zero_shot": {}}
    params["precision"] = "float32"
    (top / "params.yaml").write_text(json.dumps(params))
    skus = np.array([f"s{i:02d}" for i in range(N)], dtype=object)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(top)
        products = [
            {"sku": sku, "name": text(i), "description": "", "manufacturer": "", "label": LABELS[i]}
            for i, sku in enumerate(skus)
        ]
        write_table(PRODUCTS, pa.Table.from_pylist(products, PRODUCTS_SCHEMA))
        images = [
            {"sku": sku, "jpeg": jpeg(i), "sha256": str(i), "status": "ok", "reason": None}
            for i, sku in enumerate(skus)
        ]
        shard = Path("data/images/images-00000.parquet")
        write_table(shard, pa.Table.from_pylist(images, IMAGES), {"size": 32})
        turns = np.zeros((N, 1), dtype=np.int32)
        write_splits(SPLITS, Splits(skus, LABELS, skus, ROLES[:, None], turns))
        for stage, *options in (
            (fetch_weights, "--encoder", "clip_image"),
            (fetch_weights, "--encoder", "clip_text"),
            (fetch_weights, "--encoder", "ngrams"),
            (embed_images, "--encoder", "clip_image"),
            (embed_text, "--encoder", "clip_text"),
            (embed_text, "--encoder", "ngrams"),
            (fuse,),
            (train, "--classifier", "zero_shot"),
        ):
            patch.setattr(sys, "argv", [stage.__name__, *options])
            stage.main()
    return top


@pytest.fixture(autouse=True)
def here(top, monkeypatch):
    monkeypatch.chdir(top)


def predicted(modality: str, column: str) -> np.ndarray:
    """Return what a model gives for the products to test, all of whose inputs it sees."""
    table = read_table(Path(f"models/trained/zero_shot/{modality}/probabilities.parquet"))
    assert metadata_of(table.schema)["classes"] == CLASSES
    chosen = (np.array(table["role"].to_pylist()) == "test") & (
        np.array(table["ablated_modality"].to_pylist()) == ""
    )
    return from_arrow(table[column])[0][chosen]


@pytest.mark.parametrize("modality", ["image", "text"])
def test_before_calibration_it_is_clip_s_own_choice(modality):
    folder = Path("clip")
    if modality == "image":
        images = [PIL.Image.open(io.BytesIO(jpeg(i))).convert("RGB") for i in TESTED]
        vectors = image_vectors(folder, images)
    else:
        vectors = text_vectors(folder, [text(i) for i in TESTED])
    cosines = vectors @ text_vectors(folder, PROMPTS).T
    found = predicted(modality, "uncalibrated")
    np.testing.assert_array_equal(found.argmax(axis=1), cosines.argmax(axis=1))
    odds = np.log(found[:, 0] / found[:, 1])
    np.testing.assert_allclose(odds, 100 * (cosines[:, 0] - cosines[:, 1]), atol=0.02)


@pytest.mark.parametrize("modality", ["image", "text", "multimodal"])
def test_new_products_are_judged_as_those_for_testing_were(modality):
    model = Path(f"models/trained/zero_shot/{modality}")
    for encoder in ("clip_image", "clip_text", "ngrams"):
        shutil.copytree(weights(encoder), model / ENCODERS / encoder)
    rows = [{"name": text(i), "image": jpeg(i)} for i in TESTED]
    answers = Predictor.load(model, precision="float32").predict(rows, top=3)
    for row, answer in zip(predicted(modality, "probabilities"), answers, strict=True):
        assert {one.label: pytest.approx(one.probability, abs=1e-4) for one in answer.top} == dict(
            zip(CLASSES, row.tolist(), strict=True)
        )


def test_a_machine_that_does_not_share_the_folder_is_given_what_it_reads(tmp_path, monkeypatch):
    def on_another_machine(compute, jobs, sizes, reads):
        def run(units):
            for path in reads:
                copy = shutil.copytree if path.is_dir() else shutil.copyfile
                (tmp_path / "machine" / path).parent.mkdir(parents=True, exist_ok=True)
                copy(path, tmp_path / "machine" / path)
            with monkeypatch.context() as there:
                there.chdir(tmp_path / "machine")
                return iter([unit() for unit in units])

        return run

    shutil.copytree(Path(), tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setattr(train, "select_runner", on_another_machine)
    monkeypatch.setattr(sys, "argv", ["train", "--classifier", "zero_shot"])
    wanted = predicted("multimodal", "probabilities")
    train.main()
    np.testing.assert_array_equal(predicted("multimodal", "probabilities"), wanted)


def test_a_name_for_a_label_that_no_product_has_is_warned_of_once(tmp_path, monkeypatch, capsys):
    shutil.copytree(Path(), tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    params = json.loads(Path("params.yaml").read_text())
    params["classifiers"] = {"zero_shot": {"names": {"bal": "a ball", "box": "a crate"}}}
    Path("params.yaml").write_text(json.dumps(params))
    monkeypatch.setattr(sys, "argv", ["train", "--classifier", "zero_shot"])
    train.main()
    said = capsys.readouterr().err
    assert said.count("zero_shot.names has labels that no product has") == 1
    assert "'bal'" in said and "'box'" not in said
