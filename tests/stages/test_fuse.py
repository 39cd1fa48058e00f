"""Blocks stand side by side, on one footing, and nothing is fitted to them yet."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.encoders import described_encoder
from helpers.repository import TOP
from ruamel.yaml import YAML
from scipy.sparse import csr_array, issparse

from stages import fuse
from stages.common.errors import InputError
from stages.common.paths import FEATURES, SPLITS
from stages.common.splits import Splits, write_splits
from stages.common.tables import (
    embeddings_schema,
    features_schema,
    from_arrow,
    metadata_of,
    read_table,
    to_arrow,
    write_table,
)
from stages.fusion import pca_plot
from stages.fusion.features import read_features, read_metadata

IMAGE, TEXT = Path("data/embeddings/image"), Path("data/embeddings/text")
POINTS = Path("plots/pca/multimodal.csv")
FILES = [FEATURES, POINTS]
SIZES = {"resnet50": 12, "convnextv2": 5, "minilm": 7, "ngrams": 9}
SCHEMA = features_schema(SIZES | {"ngrams": None})
INPUTS_OF = {"resnet50": IMAGE, "convnextv2": IMAGE, "minilm": TEXT, "ngrams": TEXT}
PRODUCTS = 60
FIRST = np.array(["train"] * 40 + ["validation"] * 8 + ["test"] * 12)
ROLES = np.column_stack([FIRST, np.roll(FIRST, 12)])  # of two folds
SKUS = [f"s{at:02d}" for at in range(PRODUCTS)]
WITHOUT = [3, 17, 42, 55]  # have no image
EVERY = np.ones(PRODUCTS, dtype=bool)


class Catalogue:
    """A folder with what fuse reads; a test changes it before it is written."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = YAML(typ="safe").load(TOP / "params.yaml")
        rng = np.random.default_rng(0)
        # Far from the origin and of different lengths, as encoders' vectors are.
        self.rows = {
            name: ((rng.normal(size=(PRODUCTS, size)) + 3) * scale).astype(np.float32)
            for scale, (name, size) in zip((100, 1, 0.01, 10), SIZES.items(), strict=True)
        }
        self.labels = [f"class {at % 3}" for at in range(PRODUCTS)]

    def write(self) -> None:
        Path("params.yaml").write_text(json.dumps(self.params))
        skus, turns = np.array(SKUS, dtype=object), np.zeros(ROLES.shape, np.int32)
        write_splits(SPLITS, Splits(skus, np.array(self.labels), skus, ROLES, turns))
        for name, rows in self.rows.items():
            present = np.ones(PRODUCTS, dtype=bool)
            present[WITHOUT if INPUTS_OF[name] == IMAGE else []] = False
            write_embeddings(INPUTS_OF[name] / f"{name}.parquet", rows, present)


def write_embeddings(
    path: Path,
    rows: np.ndarray,
    present: np.ndarray | None = None,
    skus: Sequence[str] = SKUS,
) -> None:
    is_sparse = path.stem == "ngrams"
    column = to_arrow(csr_array(rows) if is_sparse else rows, present)
    schema = embeddings_schema(None if is_sparse else rows.shape[1])
    table = pa.table([pa.array(skus), pa.nulls(len(skus), pa.string()), column], schema=schema)
    encoder = described_encoder(path.stem, path.parent.name)
    write_table(path, table, encoder | {"n_features": rows.shape[1], "texts": {"cut": 0}})


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.chdir(tmp_path)
    return Catalogue()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["fuse"])
    return fuse.main


def blocks() -> dict[str, np.ndarray]:
    """Read the blocks that fuse wrote, with NaN where one is null."""
    table = read_table(FEATURES, SCHEMA)
    read = {name: from_arrow(table[name], SIZES[name]) for name in SIZES}
    return {
        name: np.where(there[:, None], rows.toarray() if issparse(rows) else rows, np.nan)
        for name, (rows, there) in read.items()
    }


def points() -> list[dict[str, str]]:
    with POINTS.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_per_product_and_a_block_per_encoder(catalogue, run):
    catalogue.write()
    run()
    table = read_table(FEATURES, SCHEMA)
    assert table.column_names == ["sku", *SIZES]
    assert table["sku"].to_pylist() == SKUS
    for name, rows in blocks().items():
        missing = np.isnan(rows).all(axis=1)
        assert np.flatnonzero(missing).tolist() == (WITHOUT if INPUTS_OF[name] == IMAGE else [])
        np.testing.assert_allclose(np.linalg.norm(rows[~missing], axis=1), 1, atol=1e-6)
        assert table[name].null_count == missing.sum()


def test_rows_keep_their_direction(catalogue, run):
    catalogue.write()
    run()
    for name, found in blocks().items():
        there = ~np.isnan(found).any(axis=1)
        wanted = catalogue.rows[name].astype(np.float64)
        wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
        np.testing.assert_allclose(found[there], wanted[there], atol=1e-6)


@pytest.mark.parametrize("at", [5, 44, 50], ids=["train", "validation", "test"])
def test_a_product_changes_no_row_but_its_own(catalogue, run, at):
    catalogue.write()
    run()
    before, drawn = blocks(), points()
    for name, size in SIZES.items():
        catalogue.rows[name][at] = np.linspace(-1000, 2000, size)
    catalogue.write()
    run()
    for name, rows in blocks().items():
        changed = ~(np.isclose(rows, before[name], rtol=0, atol=0, equal_nan=True)).all(axis=1)
        assert np.flatnonzero(changed).tolist() == [at]
    moved = sum(old != new for old, new in zip(drawn, points(), strict=True))
    # The plot's components are learnt from the products that the first fold may look at.
    assert moved == 1 if FIRST[at] == "test" else moved > PRODUCTS / 2


def test_the_lengths_of_an_encoders_vectors_do_not_count(catalogue, run):
    catalogue.write()
    run()
    before = blocks()
    for name in SIZES:
        catalogue.rows[name] *= np.float32(64)
    catalogue.write()
    run()
    for name, rows in blocks().items():
        np.testing.assert_allclose(rows, before[name], atol=1e-6)


def test_vectors_of_zeros_stay_zeros_and_are_not_missing(catalogue, run):
    catalogue.rows["minilm"][7] = 0
    catalogue.write()
    run()
    assert (blocks()["minilm"][7] == 0).all()


def test_the_plot_shows_each_product_that_can_be_seen(catalogue, run):
    catalogue.write()
    run()
    with Path("plots/pca/image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["sku", "label", "x", "y"]
    labels = dict(zip(SKUS, catalogue.labels, strict=True))
    seen = {sku: label for i, (sku, label) in enumerate(labels.items()) if i not in WITHOUT}
    assert {row["sku"]: row["label"] for row in rows} == seen
    values = np.array([[float(row["x"]), float(row["y"])] for row in rows])
    assert np.isfinite(values).all() and values.std(axis=0).min() > 0.1


def test_the_plot_of_many_products_is_a_sample_of_them(catalogue, run, monkeypatch):
    monkeypatch.setattr(pca_plot, "PLOTTED", 20)
    catalogue.write()
    run()
    assert len(points()) == 20


def test_the_plot_of_many_products_shows_a_block_that_few_of_them_have(catalogue, run, monkeypatch):
    monkeypatch.setattr(pca_plot, "PLOTTED", 9)
    catalogue.write()
    present = np.isin(np.arange(PRODUCTS), [22, 33])
    write_embeddings(IMAGE / "resnet50.parquet", catalogue.rows["resnet50"], present)
    run()
    assert len(points()) == 9


def test_the_same_inputs_give_the_same_bytes_in_another_process(catalogue, run):
    catalogue.write()
    run()
    wrote = [path.read_bytes() for path in FILES]
    subprocess.run(
        [sys.executable, "-m", "stages.fuse"],
        env=os.environ | {"PYTHONPATH": str(TOP), "PYTHONHASHSEED": "7"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert [path.read_bytes() for path in FILES] == wrote


def test_metadata_says_how_each_encoder_computes_more_vectors(catalogue, run):
    catalogue.write()
    run()
    encoders = metadata_of(read_table(FEATURES).schema)["encoders"]
    assert encoders == {name: described_encoder(name, INPUTS_OF[name].name) for name in SIZES}


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_metadata_says_how_much_each_block_counts(catalogue, run, weight):
    catalogue.params["fusion"] |= {"image": weight, "encoders": {"ngrams": 0.7}}
    catalogue.write()
    run()
    modalities = metadata_of(read_table(FEATURES).schema)["modalities"]
    assert modalities["text"]["ngrams"] ** 2 == pytest.approx(0.49 / 1.49)
    weights = modalities["multimodal"]
    assert sum(scale**2 for scale in weights.values()) == pytest.approx(1)
    assert weights["resnet50"] == weights["convnextv2"]
    assert weights["ngrams"] / weights["minilm"] == pytest.approx(0.7)
    images = weights["resnet50"] ** 2 + weights["convnextv2"] ** 2
    texts = weights["minilm"] ** 2 + weights["ngrams"] ** 2
    assert images / texts == pytest.approx(weight**2)


def test_metadata_says_what_train_is_to_make_of_each_block(catalogue, run):
    catalogue.params["fusion"]["svd_components"] = 4
    catalogue.write()
    run()
    metadata = metadata_of(read_table(FEATURES).schema)
    assert metadata["inputs"] == {
        "resnet50": "image",
        "convnextv2": "image",
        "minilm": "text",
        "ngrams": "text",
    }
    assert metadata["svd_components"] == {"ngrams": 4}
    assert metadata["n_features"] == SIZES


def test_a_modality_may_name_some_of_its_folders_encoders(catalogue, run):
    catalogue.params["modalities"]["multimodal"]["encoders"] = ["minilm", "resnet50"]
    catalogue.write()
    run()
    modalities = read_metadata(FEATURES).modalities
    labels = np.array(catalogue.labels)
    found = {
        name: read_features(FEATURES, modalities[name], labels, EVERY)[0] for name in modalities
    }
    assert set(found["multimodal"].blocks) == {"minilm", "resnet50"}
    assert set(found["image"].blocks) == {"convnextv2", "resnet50"}


def test_an_encoder_that_params_no_longer_name_is_removed_with_a_message(catalogue, run, capsys):
    catalogue.write()
    catalogue.params["image"]["encoders"].remove("convnextv2")
    Path("params.yaml").write_text(json.dumps(catalogue.params))
    run()
    assert not (IMAGE / "convnextv2.parquet").exists()
    assert f"removed {IMAGE / 'convnextv2.parquet'}" in capsys.readouterr().out
    assert {path.name for path in IMAGE.iterdir()} == {"resnet50.parquet"}
    assert (TEXT / "minilm.parquet").exists()


def test_what_a_desktop_leaves_in_a_folder_that_is_opened_is_no_encoder_s(catalogue, run):
    catalogue.write()
    left = [IMAGE / ".DS_Store", TEXT / "Thumbs.db", TEXT.parent / "desktop.ini"]
    for file in left:
        file.write_bytes(b"icons")
    run()
    assert all(file.is_file() for file in left)


def write_notes(path: Path) -> None:
    path.write_text("mine")


def write_a_users_table(path: Path) -> None:
    write_table(path, pa.table({"sku": ["1"], "price": [2.0]}))


def test_what_a_killed_run_left_of_an_encoder_that_is_no_longer_named_goes(catalogue, run):
    catalogue.write()
    folders = [TEXT, Path("data/weights"), Path("data/networks")]
    for folder in folders:
        (folder / ".gone.parquet.x1.part").mkdir(parents=True)
        (folder / ".gone.parquet.x1.part/.lock").touch()
        (folder / ".gone.parquet.x1.part/gone.parquet").write_text("half of a table")
    run()
    assert not any(path for folder in folders for path in folder.glob(".*.part"))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("notes.txt", write_notes),
        ("notes.parquet", write_notes),
        ("prices.parquet", write_a_users_table),
        (".hidden", write_notes),
    ],
)
def test_a_file_that_is_no_encoders_is_refused_and_kept(catalogue, run, name, write):
    catalogue.write()
    write(TEXT / name)
    before = (TEXT / name).read_bytes()
    with pytest.raises(InputError, match=name):
        run()
    assert (TEXT / name).read_bytes() == before
    assert not FEATURES.exists()


def test_embeddings_of_other_products_are_refused(catalogue, run):
    catalogue.write()
    for skus in (SKUS[::-1], [*SKUS[:-1], "other"]):
        write_embeddings(TEXT / "minilm.parquet", catalogue.rows["minilm"], skus=skus)
        with pytest.raises(InputError, match=r"text/minilm\.parquet is of other products"):
            run()
    write_embeddings(TEXT / "minilm.parquet", catalogue.rows["minilm"][:-1], skus=SKUS[:-1])
    with pytest.raises(InputError, match=r"text/minilm\.parquet is of other products"):
        run()


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (None, "lacks the column embedding"),
        (pa.array([[1.0, 2.0]] * PRODUCTS, pa.list_(pa.float32())), "the column embedding is list"),
        (pa.array([[1.0, 2.0]] * PRODUCTS, pa.list_(pa.float64(), 2)), "is fixed_size_list<.*doub"),
        (pa.array([1.0] * PRODUCTS), "the column embedding is double"),
    ],
)
def test_a_table_of_another_schema_is_refused(catalogue, run, column, kind):
    catalogue.write()
    columns = {"sku": SKUS, "sha256": pa.nulls(PRODUCTS, pa.string())}
    if column is not None:
        columns["embedding"] = column
    write_table(TEXT / "minilm.parquet", pa.table(columns))
    with pytest.raises(InputError, match=rf"text/minilm\.parquet.*{kind}"):
        run()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_embedding_that_is_not_finite_is_refused_by_its_sku(catalogue, run, value):
    catalogue.rows["resnet50"][33, 4] = value
    catalogue.write()
    with pytest.raises(InputError, match=r"image/resnet50\.parquet: the embedding of sku s33"):
        run()


def test_counts_that_are_not_finite_are_refused_by_their_sku(catalogue, run):
    catalogue.rows["ngrams"][21, 2] = np.inf
    catalogue.write()
    with pytest.raises(InputError, match=r"text/ngrams\.parquet: the embedding of sku s21"):
        run()


def test_batches_of_different_files_are_put_together_by_product(catalogue, run):
    catalogue.write()
    run()
    whole = blocks()
    at = IMAGE / "resnet50.parquet"
    table = pq.read_table(at)
    pq.write_table(table, at, row_group_size=7)  # as it is where images come in small shards
    run()
    for name, rows in blocks().items():
        np.testing.assert_array_equal(rows, whole[name])


@pytest.mark.parametrize("key", ["weights", "settings", "backend", "precision", "n_features"])
def test_a_table_that_does_not_say_how_to_compute_more_is_refused(catalogue, run, key):
    catalogue.write()
    table = pq.read_table(TEXT / "minilm.parquet")
    metadata = metadata_of(table.schema)
    del metadata[key]
    write_table(TEXT / "minilm.parquet", table.replace_schema_metadata(), metadata)
    with pytest.raises(InputError, match=rf"minilm\.parquet does not say its {key}"):
        run()


def test_a_missing_table_is_named(catalogue, run):
    catalogue.write()
    (TEXT / "minilm.parquet").unlink()
    with pytest.raises(InputError, match=r"text/minilm\.parquet is not there"):
        run()


@pytest.mark.parametrize("left", [[], [11]], ids=["none", "one"])
def test_a_block_that_is_not_there_to_train_on_is_refused(catalogue, run, left):
    catalogue.write()
    present = np.isin(np.arange(PRODUCTS), [*left, 50, 51])
    write_embeddings(IMAGE / "resnet50.parquet", catalogue.rows["resnet50"], present)
    with pytest.raises(InputError, match=r"image: .* to train on .* resnet50"):
        run()
    assert not POINTS.exists()


def write_none(catalogue, *names):
    """Write empty tables for encoders whose input no product has."""
    for name in names:
        size = None if name == "ngrams" else SIZES[name]
        schema = embeddings_schema(size)
        columns = [pa.array(SKUS), *(pa.nulls(PRODUCTS, kind) for kind in schema.types[1:])]
        metadata = described_encoder(name, INPUTS_OF[name].name) | {"n_features": 1}
        write_table(INPUTS_OF[name] / f"{name}.parquet", pa.table(columns, schema), metadata)


@pytest.mark.parametrize(
    ("missing", "left", "modality", "said"),
    [
        (["resnet50", "convnextv2"], ["minilm", "ngrams"], "text", "an image: left out the"),
        (["minilm", "ngrams"], ["resnet50", "convnextv2"], "image", "a text: left out the models"),
    ],
)
def test_what_no_product_has_is_left_out_with_the_models_that_need_it(
    catalogue, run, capsys, missing, left, modality, said
):
    catalogue.write()
    write_none(catalogue, *missing)
    run()
    metadata = read_metadata(FEATURES)
    assert read_table(FEATURES).column_names == ["sku", *left]
    assert list(metadata.modalities) == [modality]
    assert list(metadata.modalities[modality]) == left
    assert [path.name for path in Path("plots/pca").iterdir()] == [f"{modality}.csv"]
    printed = capsys.readouterr().out
    assert f"no product has {said}" in printed
    other = "image" if modality == "text" else "text"
    assert f"{other}, multimodal" in printed


def test_an_encoder_alone_whose_field_no_product_has_is_left_out(catalogue, run, capsys):
    catalogue.write()
    write_none(catalogue, "ngrams")
    run()
    modalities = read_metadata(FEATURES).modalities
    assert list(modalities) == ["image", "text", "multimodal"]
    assert list(modalities["text"]) == ["minilm"]
    assert "what the encoder ngrams reads: left it out" in capsys.readouterr().out


def test_where_no_modality_is_left_the_way_out_is_said(catalogue, run):
    del catalogue.params["modalities"]["text"]
    catalogue.write()
    write_none(catalogue, "resnet50", "convnextv2")
    with pytest.raises(InputError, match=r"no product has an image, and each of `modalities`"):
        run()
    assert not FEATURES.exists()


def test_nothing_is_said_to_be_left_out_where_nothing_is(catalogue, run, capsys):
    catalogue.write()
    run()
    assert "left" not in capsys.readouterr().out
