"""Roles and turns come back as they were written, and say what a model may be fitted on."""

import numpy as np
import pyarrow as pa
import pytest

from stages.common.errors import InputError
from stages.common.splits import Splits, is_training_part, read_splits, write_splits
from stages.common.tables import SPLITS, read_table, write_table

ROLES = np.array([["test", "validation"], ["validation", "test"], ["train", "validation"]])
TURNS = np.array([[0, 1], [0, 0], [0, 2]], dtype=np.int32)


def splits(skus=("c", "a", "b")) -> Splits:
    labels, groups = np.array(["TV", "Audio", "TV"]), np.array(["a", "a", "b"])
    return Splits(np.array(skus, dtype=object), labels, groups, ROLES, TURNS)


def test_one_row_per_fold_and_product_fold_by_fold(tmp_path):
    path = tmp_path / "splits.parquet"
    write_splits(path, splits())
    rows = read_table(path, SPLITS).to_pylist()
    assert [(row["fold"], row["sku"]) for row in rows] == [
        *((1, sku) for sku in "cab"),
        *((2, sku) for sku in "cab"),
    ]
    assert rows[5] == {
        **{"sku": "b", "label": "TV", "group": "b"},
        **{"fold": 2, "role": "validation", "turn": 2},
    }


def test_splits_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "splits.parquet"
    write_splits(path, splits())
    found = read_splits(path)
    for name, wanted in vars(splits()).items():
        assert np.array_equal(getattr(found, name), wanted), name
    assert found.turns.dtype == np.int32
    assert found.n_folds == 2


def test_skus_that_differ_in_a_null_character_stay_apart(tmp_path):
    path = tmp_path / "splits.parquet"
    write_splits(path, splits(["a\0", "a", "b"]))
    assert read_splits(path).skus.tolist() == ["a\0", "a", "b"]


def test_a_model_is_fitted_on_training_products_and_on_validation_that_takes_turns():
    assert is_training_part(ROLES, TURNS).tolist() == [[False, True], [False, False], [True, True]]


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.slice(1),
        lambda table: table.take([1, 0, 2, 3, 4, 5]),
        lambda table: table.take([3, 4, 5, 0, 1, 2]),
        lambda table: table.slice(0, 5),
        lambda table: pa.concat_tables([table, table]),
    ],
)
def test_folds_of_different_products_are_refused(tmp_path, change):
    path = tmp_path / "splits.parquet"
    write_splits(path, splits())
    write_table(path, change(read_table(path)))
    with pytest.raises(InputError, match=r"splits\.parquet has not the same products"):
        read_splits(path)


def test_splits_that_are_not_built_name_the_command(tmp_path):
    with pytest.raises(InputError, match=r"splits\.parquet is not there: `dvc repro` builds it"):
        read_splits(tmp_path / "splits.parquet")
