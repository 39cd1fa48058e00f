"""What the classifiers see of a modality."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.errors import InputError
from stages.features import Features, read_features, unit_length
from stages.tables import SPLITS, features_schema, vector_column, write_table

SIZES = {"a": 3, "b": 5}
PRESENT = {"a": np.array([True, True, False, False]), "b": np.array([True, False, True, False])}
LABELS = ["x", "y", "x", "y"]
SCALES = {"a": 0.6, "b": 0.8}
KINDS = {"a": "image", "b": "text"}
FACTS = {"encoders": {"a": 1, "b": 2}, "scales": SCALES, "kinds": KINDS, "components": {"b": 2}}
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
    columns = [vector_column(rows, PRESENT[name]) for name, rows in unit_blocks().items()]
    table = pa.table([*map(pa.array, splits), *columns], schema=features_schema(SIZES))
    write_table(tmp_path / "f.parquet", table, FACTS)
    return tmp_path / "f.parquet"


def test_a_table_is_read_as_it_was_fused(path):
    features, products, facts = read_features(path)
    for name, rows in unit_blocks().items():
        np.testing.assert_array_equal(features.blocks[name], rows)
        np.testing.assert_array_equal(features.present[name], PRESENT[name])
    assert features.labels.tolist() == LABELS
    assert features.scales == SCALES and features.kinds == KINDS
    assert features.components == {"b": 2}
    assert products.schema.equals(SPLITS)
    assert products["sku"].to_pylist() == ["1", "2", "3", "4"]
    assert products["parts"].to_pylist() == PARTS
    assert facts == FACTS


def test_the_matrix_has_rows_of_unit_length_where_nothing_is_missing(path):
    features, _, _ = read_features(path)
    matrix = features.matrix()
    assert matrix.dtype == np.float32 and matrix.shape == (4, 8)
    lengths = np.linalg.norm(matrix, axis=1)
    np.testing.assert_allclose(lengths, [1, 0.6, 0.8, 0], atol=1e-6)
    one = Features({"a": features.blocks["a"]}, {"a": PRESENT["a"]}, {"a": 1.0}, features.labels)
    np.testing.assert_array_equal(one.matrix(), features.blocks["a"])


def test_what_can_be_seen_has_a_block(path):
    features, _, _ = read_features(path)
    assert features.seen().tolist() == [True, True, True, False]


def test_what_has_a_picture_or_a_text_has_one_of_its_blocks(path):
    features, _, _ = read_features(path)
    assert features.has("image").tolist() == [True, True, False, False]
    assert features.has("text").tolist() == [True, False, True, False]
    both = replace(features, kinds={"a": "text", "b": "text"})
    assert both.has("text").tolist() == [True, True, True, False]


def test_the_blocks_of_a_kind_share_the_unit_among_themselves(path):
    features, _, _ = read_features(path)
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
    features, _, _ = read_features(path)
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
        read_features(path)


@pytest.mark.parametrize("key", ["scales", "kinds"])
def test_a_table_that_does_not_say_each_block_s_scale_and_kind_is_refused(path, key):
    table = pq.read_table(path)
    without = {name: value for name, value in FACTS.items() if name != key}
    for facts in (without, FACTS | {key: {"a": FACTS[key]["a"]}}):
        write_table(path, table, facts)
        with pytest.raises(InputError, match=rf"f\.parquet does not say its blocks' {key}"):
            read_features(path)


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
        read_features(path)


def test_a_table_that_is_not_there_or_lacks_a_column_is_refused(path):
    with pytest.raises(InputError, match=r"gone\.parquet is not there"):
        read_features(path.with_name("gone.parquet"))
    write_table(path, pa.table([pa.array(["1"]), vector_column(np.ones((1, 2)))], ["sku", "a"]))
    with pytest.raises(InputError, match=r"f\.parquet lacks the column label"):
        read_features(path)


def test_rows_are_scaled_to_unit_length_but_zeros():
    rows = np.array([[3, 4], [0, 0], [1e-12, 0]], dtype=np.float32)
    found = unit_length(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [1, 0]], atol=1e-6)
