"""What the classifiers see of a modality."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_array

from stages.common.errors import InputError
from stages.common.tables import SPLITS, features_schema, to_arrow, write_table
from stages.fusion.features import Features, read_features, read_products, unit_length

SIZES = {"a": 3, "b": 5}
PRESENT = {"a": np.array([True, True, False, False]), "b": np.array([True, False, True, False])}
LABELS = ["x", "y", "x", "y"]
SCALES = {"a": 0.6, "b": 0.8}
KINDS = {"a": "image", "b": "text"}
COUNTS = np.zeros((4, 9), dtype=np.float32)
COUNTS[[0, 0, 2], [1, 7, 3]] = [0.6, 0.8, 1]
EVERY = np.ones(4, dtype=bool)
FACTS = {
    "encoders": {"a": 1, "b": 2, "c": 3},
    "kinds": KINDS | {"c": "text"},
    "components": {"c": 2},
    "n_features": {"c": 9},
    "modalities": {"both": SCALES, "words": {"b": 0.6, "c": 0.8}},
}
PARTS = [["train", "test"], ["train", "validation"], ["validation", "test"], ["test", "train"]]


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
    splits = [["1", "2", "3", "4"], LABELS, ["g", "g", "h", "h"], PARTS]
    columns = [to_arrow(rows, PRESENT[name]) for name, rows in unit_blocks().items()]
    columns.append(to_arrow(csr_array(COUNTS), PRESENT["b"]))
    schema = features_schema(SIZES | {"c": None})
    table = pa.table([*map(pa.array, splits), *columns], schema=schema)
    write_table(tmp_path / "f.parquet", table, FACTS)
    return tmp_path / "f.parquet"


def read(path: Path) -> Features:
    """Read what the modality of both sees of all products, those that have nothing as zeros."""
    features, seen = read_features(path, "both", EVERY)
    assert seen.tolist() == [True, True, True, False]
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
    assert features.labels.tolist() == LABELS
    assert features.scales == SCALES and features.kinds == KINDS
    assert features.components == {}
    products, facts = read_products(path)
    assert products.schema.equals(SPLITS)
    assert products["sku"].to_pylist() == ["1", "2", "3", "4"]
    assert products["parts"].to_pylist() == PARTS
    assert facts == FACTS


def test_a_modality_is_read_of_the_products_that_are_chosen_and_have_something(path):
    features, seen = read_features(path, "words", np.array([True, True, False, True]))
    assert seen.tolist() == [True, False, False, False]
    assert list(features.blocks) == ["b", "c"] and features.labels.tolist() == ["x"]
    np.testing.assert_array_equal(features.blocks["b"], unit_blocks()["b"][:1])
    np.testing.assert_array_equal(features.blocks["c"].toarray(), COUNTS[:1])
    assert features.components == {"c": 2} and features.scales == {"b": 0.6, "c": 0.8}


def test_the_matrix_has_rows_of_unit_length_where_nothing_is_missing(path):
    features = read(path)
    matrix = features.matrix()
    assert matrix.dtype == np.float32 and matrix.shape == (4, 8)
    lengths = np.linalg.norm(matrix, axis=1)
    np.testing.assert_allclose(lengths, [1, 0.6, 0.8, 0], atol=1e-6)
    one = Features({"a": features.blocks["a"]}, {"a": PRESENT["a"]}, {"a": 1.0}, features.labels)
    np.testing.assert_array_equal(one.matrix(), features.blocks["a"])


def test_what_can_be_seen_has_a_block(path):
    features = read(path)
    assert features.seen().tolist() == [True, True, True, False]


def test_what_has_a_picture_or_a_text_has_one_of_its_blocks(path):
    features = read(path)
    assert features.has("image").tolist() == [True, True, False, False]
    assert features.has("text").tolist() == [True, False, True, False]
    both = replace(features, kinds={"a": "text", "b": "text"})
    assert both.has("text").tolist() == [True, True, True, False]


def test_the_blocks_of_a_kind_share_the_unit_among_themselves(path):
    features = read(path)
    one = features.of({"image"})
    assert list(one.blocks) == list(one.present) == ["a"]
    np.testing.assert_array_equal(one.matrix(), features.blocks["a"])
    assert features.of({"image", "text"}).scales == pytest.approx(SCALES)
    third = {"c": features.blocks["a"]}
    more = replace(
        features,
        blocks=features.blocks | third,
        present=features.present | {"c": features.present["a"]},
        scales={"a": 0.3, "b": 0.5, "c": 0.4},
        kinds=KINDS | {"c": "image"},
    ).of({"image"})
    assert more.scales == pytest.approx({"a": 0.6, "c": 0.8})
    np.testing.assert_allclose(np.linalg.norm(more.matrix(), axis=1), [1, 1, 0, 0], atol=1e-6)


def test_where_chooses_products_in_every_part(path):
    features = read(path)
    chosen = features.where(np.array([False, True, False, True]))
    np.testing.assert_array_equal(chosen.matrix(), features.matrix()[[1, 3]])
    assert {name: rows.tolist() for name, rows in chosen.present.items()} == {
        "a": [True, False],
        "b": [False, False],
    }
    assert chosen.labels.tolist() == ["y", "y"]
    nothing = features.where(np.zeros(4, dtype=bool))
    assert nothing.matrix().shape == (0, 8) and not len(nothing.labels)


def test_a_table_without_blocks_is_refused(path):
    columns = [pa.array(["1"])] * 3 + [pa.array([["train"]])]
    write_table(path, pa.table(columns, schema=SPLITS))
    with pytest.raises(InputError, match=r"f\.parquet holds no block"):
        read_products(path)


@pytest.mark.parametrize("key", FACTS)
def test_a_table_that_does_not_say_what_its_blocks_are_is_refused(path, key):
    table = pq.read_table(path)
    wrong = [{name: value for name, value in FACTS.items() if name != key}]
    if key in ("encoders", "kinds"):
        wrong.append(FACTS | {key: {"a": FACTS[key]["a"]}})
    for facts in wrong:
        write_table(path, table, facts)
        with pytest.raises(InputError, match=rf"f\.parquet does not say its (blocks' )?{key}"):
            read_products(path)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([1.0]), "the column c is no column of vectors"),
        (pa.array([[1.0]], pa.list_(pa.float32())), "the column c is no column of vectors"),
        (pa.array([[1.0]], pa.list_(pa.float64(), 1)), "the column c is fixed_size_list"),
    ],
)
def test_a_column_that_is_no_block_is_refused_by_name(path, column, said):
    columns = {name: ["1"] for name in SPLITS.names} | {"parts": [["train"]]}
    write_table(path, pa.table({**columns, "c": column}))
    with pytest.raises(InputError, match=said):
        read_products(path)


def test_a_table_that_is_not_there_or_lacks_a_column_is_refused(path):
    with pytest.raises(InputError, match=r"gone\.parquet is not there"):
        read_products(path.with_name("gone.parquet"))
    write_table(path, pa.table([pa.array(["1"]), to_arrow(np.ones((1, 2)))], ["sku", "a"]))
    with pytest.raises(InputError, match=r"f\.parquet lacks the column label"):
        read_products(path)


def test_rows_are_scaled_to_unit_length_but_zeros():
    rows = np.array([[3, 4], [0, 0], [1e-12, 0]], dtype=np.float32)
    found = unit_length(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [1, 0]], atol=1e-6)
    sparse = unit_length(csr_array(rows))
    assert sparse.dtype == np.float32 and sparse.nnz == 3
    np.testing.assert_allclose(sparse.toarray(), found, atol=1e-6)
