"""Tables come back as they were written, and one of another schema is refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.common.errors import InputError
from stages.common.tables import (
    SPLITS,
    embeddings_schema,
    features_schema,
    from_arrow,
    metadata_of,
    probabilities_schema,
    read_table,
    to_arrow,
    vectors,
    write_batches,
    write_table,
)

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
PRESENT = np.array([True, False, True, False])


def splits(*rows):
    return pa.Table.from_pylist(
        [
            {"sku": sku, "label": "Audio", "group": sku, "fold": 1, "role": role, "turn": 0}
            for sku, role in rows
        ],
        schema=SPLITS,
    )


def embeddings(present):
    columns = [pa.array(["a", "b", "c", "d"]), pa.nulls(4, pa.string())]
    return pa.table([*columns, to_arrow(ROWS, present)], schema=embeddings_schema(3))


@pytest.mark.parametrize("present", [PRESENT, ~PRESENT, np.full(4, True), np.full(4, False)])
def test_vectors_with_nulls_come_back(tmp_path, present):
    path = tmp_path / "below" / "embeddings.parquet"
    write_table(path, embeddings(present))
    column = read_table(path, embeddings_schema(3))["embedding"]
    rows, found = from_arrow(column)
    assert rows.dtype == np.float32
    assert np.array_equal(found, present)
    assert np.array_equal(rows, np.where(present[:, None], ROWS, 0))
    assert column.is_null().to_pylist() == (~present).tolist()


def test_vectors_without_a_mask_are_all_there():
    rows, present = from_arrow(pa.chunked_array([to_arrow(ROWS[:, ::-1].astype(float))]))
    assert np.array_equal(rows, ROWS[:, ::-1])
    assert present.all()


def test_vectors_of_a_part_of_a_table():
    column = embeddings(PRESENT)["embedding"]
    rows, present = from_arrow(column.slice(1, 2))
    assert present.tolist() == [False, True]
    assert np.array_equal(rows, [[0, 0, 0], ROWS[2]])
    twice = pa.chunked_array([*column.slice(2).chunks, *column.slice(0, 1).chunks])
    assert np.array_equal(from_arrow(twice)[0], [ROWS[2], [0, 0, 0], ROWS[0]])


def test_no_vectors_at_all():
    rows, present = from_arrow(pa.chunked_array([], type=vectors(3)))
    assert rows.shape == (0, 3)
    assert present.shape == (0,)
    assert len(to_arrow(np.zeros((0, 3)))) == 0


def test_facts_come_back(tmp_path):
    path = tmp_path / "splits.parquet"
    facts = {"classes": ["TV", "Pokémon"], "size": 3, "from": {"sha256": None}}
    write_table(path, splits(("a", "train")), facts)
    assert metadata_of(read_table(path, SPLITS).schema) == facts
    write_table(path, read_table(path, SPLITS))
    assert metadata_of(read_table(path).schema) == {}


def test_the_same_table_gives_the_same_bytes(tmp_path):
    one, other = tmp_path / "1.parquet", tmp_path / "2.parquet"
    for path in (one, other):
        write_table(path, embeddings(PRESENT), {"size": 3})
    assert one.read_bytes() == other.read_bytes()


def test_batches_become_one_table(tmp_path):
    path = tmp_path / "splits.parquet"
    parts = [splits(("a", "train"), ("b", "test")), splits(), splits(("c", "train"))]
    write_batches(path, SPLITS, iter(parts), {"size": 3})
    table = read_table(path, SPLITS)
    assert table["sku"].to_pylist() == ["a", "b", "c"]
    assert metadata_of(table.schema) == {"size": 3}


INT = pa.array([1], pa.int32())
ROW = {"label": ["x"], "group": ["a"], "fold": INT, "role": ["test"], "turn": INT}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"sku": ["a"], "label": ["x"]}, r"lacks the column group \(string\)"),
        ({"sku": [1], **ROW}, "column sku is int64, not string"),
        (
            {"sku": ["a"], **ROW, "more": [1]},
            "has the column more, which is none of .*'turn'",
        ),
    ],
)
def test_another_schema_is_refused_with_the_column(tmp_path, columns, said):
    path = tmp_path / "splits.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(InputError, match=said) as caught:
        read_table(path, SPLITS)
    assert str(path) in str(caught.value)


def test_vectors_of_another_size_are_refused(tmp_path):
    path = tmp_path / "embeddings.parquet"
    write_table(path, embeddings(PRESENT))
    with pytest.raises(InputError, match=r"column embedding is fixed_size_list.*3.*, not .*4"):
        read_table(path, embeddings_schema(4))


def test_the_schemas_of_features_and_probabilities_say_whose_they_are():
    features = features_schema({"resnet50": 2048, "minilm": 384})
    assert features.names == ["sku", "resnet50", "minilm"]
    assert features.field("minilm").type == vectors(384)
    assert features.field("minilm").nullable
    probabilities = probabilities_schema(15)
    assert probabilities.names[:3] == ["sku", "label", "group"]
    for name in ("probabilities", "uncalibrated"):
        assert probabilities.field(name).type == vectors(15)
        assert not probabilities.field(name).nullable


def test_a_missing_file_and_one_that_is_no_parquet_are_named(tmp_path):
    path = tmp_path / "splits.parquet"
    with pytest.raises(InputError, match=r"splits\.parquet is not there"):
        read_table(path)
    for content in (b"", b"no Parquet", b"PAR1" + b"\0" * 100 + b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"splits\.parquet is no Parquet file"):
            read_table(path)


@pytest.mark.parametrize("length", [4, 100, -5])
def test_a_file_that_was_cut_short_is_named(tmp_path, length):
    path = tmp_path / "splits.parquet"
    write_table(path, splits(("a", "train")))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"splits\.parquet is no Parquet file"):
        read_table(path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "splits.parquet"
    write_table(path, splits(("a", "train")))
    before = path.read_bytes()

    def tables():
        yield splits(("b", "train"))
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_batches(path, SPLITS, tables())
    with pytest.raises(TypeError):
        write_table(path, splits(("b", "train")), {"no JSON": object()})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["splits.parquet"]
