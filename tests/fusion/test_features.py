"""The features that train reads, and what a modality sees of them."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.repository import TOP
from scipy.sparse import csr_array

from stages.common import large_arrays
from stages.common.errors import InputError
from stages.common.tables import features_schema, to_arrow, write_batches, write_table
from stages.fusion.features import (
    Features,
    check_skus,
    read_features,
    read_metadata,
    unit_length,
)

SIZES = {"a": 3, "b": 5}
PRESENT = {"a": np.array([True, True, False, False]), "b": np.array([True, False, True, False])}
LABELS = np.array(["x", "y", "x", "y"])
WEIGHTS = {"a": 0.6, "b": 0.8}
INPUTS = {"a": "image", "b": "text"}
COUNTS = np.zeros((4, 9), dtype=np.float32)
COUNTS[[0, 0, 2], [1, 7, 3]] = [0.6, 0.8, 1]
EVERY = np.ones(4, dtype=bool)
METADATA = {
    "encoders": {"a": 1, "b": 2, "c": 3},
    "inputs": INPUTS | {"c": "text"},
    "n_features": SIZES | {"c": 9},
    "svd_components": {"c": 2},
    "modalities": {"both": WEIGHTS, "words": {"b": 0.6, "c": 0.8}},
}


def unit_blocks() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for name, size in SIZES.items():
        rows = rng.normal(size=(4, size))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        made[name] = (rows * PRESENT[name][:, None]).astype(np.float32)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    columns = [to_arrow(rows, PRESENT[name]) for name, rows in unit_blocks().items()]
    columns.append(to_arrow(csr_array(COUNTS), PRESENT["b"]))
    schema = features_schema(SIZES | {"c": None})
    table = pa.table([pa.array(["1", "2", "3", "4"]), *columns], schema=schema)
    write_table(tmp_path / "f.parquet", table, METADATA)
    return tmp_path / "f.parquet"


def read(path: Path) -> Features:
    """Read what the modality of both sees of all products, those that have nothing as zeros."""
    features, rows = read_features(path, WEIGHTS, LABELS, EVERY)
    assert rows.tolist() == [0, 1, 2]
    nothing = {name: np.zeros((1, size), dtype=np.float32) for name, size in SIZES.items()}
    return replace(
        features,
        blocks={name: np.vstack([rows, nothing[name]]) for name, rows in features.blocks.items()},
        present={name: np.append(has, False) for name, has in features.present.items()},
        labels=np.append(features.labels, LABELS[3]),
    )


def test_a_table_is_read_as_it_was_fused(path):
    features = read(path)
    for name, rows in unit_blocks().items():
        np.testing.assert_array_equal(features.blocks[name], rows)
        np.testing.assert_array_equal(features.present[name], PRESENT[name])
    assert features.labels.tolist() == LABELS.tolist()
    assert features.block_weights == WEIGHTS and features.inputs == INPUTS
    assert features.svd_components == {}
    metadata = read_metadata(path)
    assert vars(metadata) == METADATA
    assert set(metadata.seen_blocks) == {"a", "b", "c"}


def test_a_modality_is_read_of_the_products_that_are_chosen_and_have_something(path):
    weights = METADATA["modalities"]["words"]
    chosen = np.array([True, True, False, True])
    features, rows = read_features(path, weights, LABELS, chosen)
    assert rows.tolist() == [0]
    assert list(features.blocks) == ["b", "c"] and features.labels.tolist() == ["x"]
    np.testing.assert_array_equal(features.blocks["b"], unit_blocks()["b"][:1])
    np.testing.assert_array_equal(features.blocks["c"].toarray(), COUNTS[:1])
    assert features.svd_components == {"c": 2} and features.block_weights == {"b": 0.6, "c": 0.8}


def test_concatenated_blocks_have_rows_of_unit_length_where_nothing_is_missing(path):
    features = read(path)
    matrix = features.concatenate()
    assert matrix.dtype == np.float32 and matrix.shape == (4, 8)
    lengths = np.linalg.norm(matrix, axis=1)
    np.testing.assert_allclose(lengths, [1, 0.6, 0.8, 0], atol=1e-6)
    one = features.select_blocks({"a": 1.0})
    np.testing.assert_array_equal(one.concatenate(), features.blocks["a"])


def test_a_product_is_present_with_one_block(path):
    features = read(path)
    assert features.any_present().tolist() == [True, True, True, False]


def test_a_product_has_the_image_or_the_text_if_it_has_one_of_its_blocks(path):
    features = read(path)
    assert features.has_modality("image").tolist() == [True, True, False, False]
    assert features.has_modality("text").tolist() == [True, False, True, False]
    both = replace(features, inputs={"a": "text", "b": "text"})
    assert both.has_modality("text").tolist() == [True, True, True, False]
    assert features.has_all_modalities().tolist() == [True, False, False, False]


def test_the_blocks_of_a_modality_share_the_unit_among_themselves(path):
    features = read(path)
    one = features.select_modalities({"image"})
    assert list(one.blocks) == list(one.present) == ["a"]
    np.testing.assert_array_equal(one.concatenate(), features.blocks["a"])
    assert features.select_modalities({"image", "text"}).block_weights == pytest.approx(WEIGHTS)
    third = {"c": features.blocks["a"]}
    more = replace(
        features,
        blocks=features.blocks | third,
        present=features.present | {"c": features.present["a"]},
        block_weights={"a": 0.3, "b": 0.5, "c": 0.4},
        inputs=INPUTS | {"c": "image"},
    ).select_modalities({"image"})
    assert more.block_weights == pytest.approx({"a": 0.6, "c": 0.8})
    np.testing.assert_allclose(np.linalg.norm(more.concatenate(), axis=1), [1, 1, 0, 0], atol=1e-6)


def test_rows_are_selected_in_every_part(path):
    features = read(path)
    chosen = features.select_rows(np.array([False, True, False, True]))
    np.testing.assert_array_equal(chosen.concatenate(), features.concatenate()[[1, 3]])
    assert {name: rows.tolist() for name, rows in chosen.present.items()} == {
        "a": [True, False],
        "b": [False, False],
    }
    assert chosen.labels.tolist() == ["y", "y"]
    nothing = features.select_rows(np.zeros(4, dtype=bool))
    assert nothing.concatenate().shape == (0, 8) and not len(nothing.labels)


def test_a_table_without_blocks_is_refused(path):
    write_table(path, pa.table({"sku": ["1"]}))
    with pytest.raises(InputError, match=r"f\.parquet holds no block"):
        read_metadata(path)


@pytest.mark.parametrize("key", METADATA)
def test_a_table_that_does_not_say_what_its_blocks_are_is_refused(path, key):
    table = pq.read_table(path)
    wrong = [{name: value for name, value in METADATA.items() if name != key}]
    if key in ("encoders", "inputs", "n_features"):
        wrong.append(METADATA | {key: {"a": METADATA[key]["a"]}})
    for metadata in wrong:
        write_table(path, table, metadata)
        with pytest.raises(InputError, match=rf"f\.parquet does not say its (blocks' )?{key}"):
            read_metadata(path)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1.0]), "the column c is no column of vectors"),
        (pa.array([[1.0]], pa.list_(pa.float32())), "the column c is no column of vectors"),
        (pa.array([[1.0]], pa.list_(pa.float64(), 1)), "the column c is fixed_size_list"),
    ],
)
def test_a_column_that_is_no_block_is_refused_by_name(path, column, message):
    write_table(path, pa.table({"sku": ["1"], "c": column}))
    with pytest.raises(InputError, match=message):
        read_metadata(path)


def test_a_table_that_is_not_there_or_lacks_a_column_is_refused(path):
    with pytest.raises(InputError, match=r"gone\.parquet is not there"):
        read_metadata(path.with_name("gone.parquet"))
    write_table(path, pa.table([to_arrow(np.ones((1, 2)))], ["a"]))
    with pytest.raises(InputError, match=r"f\.parquet lacks the column sku"):
        read_metadata(path)


def test_a_table_of_other_products_is_refused(path):
    check_skus(path, np.array(["1", "2", "3", "4"], dtype=object))
    for skus in (["1", "2", "4", "3"], ["1", "2", "3"]):
        with pytest.raises(InputError, match=r"f\.parquet is of other products"):
            check_skus(path, np.array(skus, dtype=object))


def test_blocks_that_lie_in_files_are_read_as_those_in_memory(path, monkeypatch, tmp_path):
    chosen, weights = np.array([True, True, True, False]), dict.fromkeys("abc", 0.5)
    found, kept = read_features(path, weights, LABELS, chosen)
    monkeypatch.setattr(large_arrays, "LARGE", 1)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "large"))
    large, rows = read_features(path, weights, LABELS, chosen)
    assert (tmp_path / "large").is_dir()
    np.testing.assert_array_equal(rows, kept)
    for name, block in found.blocks.items():
        one, other = (toarray(each) for each in (block, large.blocks[name]))
        assert one.dtype == other.dtype == np.float32
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(found.present[name], large.present[name])


def toarray(rows: Any) -> np.ndarray:
    return rows.toarray() if isinstance(rows, csr_array) else rows


LIMITED = """
import re, resource
from pathlib import Path
import numpy as np
from stages.classifiers.logistic_regression import Classifier, Settings
from stages.common import large_arrays
from stages.fusion.features import read_features
from stages.fusion.preprocessing import BlockPreprocessor

def fit(n):
    labels = np.array(["x", "y"] * (n // 2))
    chosen = np.arange(20_000) < n
    features, _ = read_features(Path("features.parquet"), {"a": 0.6, "b": 0.8}, labels, chosen)
    features = BlockPreprocessor().fit(features).transform(features)
    assert features.labels.shape == (n,)
    settings = Settings(C=1.0, class_weight=None, max_iter=3)
    Classifier(settings, 0, {"a": 0.6, "b": 0.8}).fit(features.X, features.labels)

large_arrays.LARGE = LARGE
fit(1000)  # loads what takes memory itself
used = int(re.search(r"VmData:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 150 * 2**20, resource.RLIM_INFINITY))
fit(20_000)
"""


@pytest.fixture(scope="module")
def folder_of_many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with features of 160 MB."""
    sizes, folder = {"a": 1500, "b": 500}, tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    blocks = [to_arrow(unit_length(rng.random((1000, n), np.float32))) for n in sizes.values()]
    schema = features_schema(sizes)
    part = pa.table([pa.array(map(str, range(1000))), *blocks], schema=schema)
    metadata = METADATA | {"n_features": sizes, "svd_components": {}}
    write_batches(folder / "features.parquet", schema, [part] * 20, metadata)
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="the limit leaves files out on Linux alone")
@pytest.mark.parametrize(("large", "fits"), [(2**21, True), (2**31, False)])
def test_features_larger_than_memory_train_a_model(folder_of_many, large, fits):
    """Read 160 MB, preprocess them and put them side by side, with 150 MiB to spare."""
    run = subprocess.run(
        [sys.executable, "-c", LIMITED.replace("LARGE = LARGE", f"LARGE = {large}")],
        cwd=folder_of_many,
        env=os.environ | {"PYTHONPATH": str(TOP), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert (run.returncode == 0) == fits, run.stderr
    assert fits or "MemoryError" in run.stderr


def test_rows_are_scaled_to_unit_length_but_zeros():
    rows = np.array([[3, 4], [0, 0], [1e-12, 0]], dtype=np.float32)
    found = unit_length(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [1, 0]], atol=1e-6)
    sparse = unit_length(csr_array(rows))
    assert sparse.dtype == np.float32 and sparse.nnz == 3
    np.testing.assert_allclose(sparse.toarray(), found, atol=1e-6)
