import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.common.errors import InputError
from stages.common.tables import probabilities_schema, to_arrow, write_table
from stages.evaluation.predictions import load_model

ROWS = [  # sku, fold, role, ablated_modality
    ("a", 1, "validation", ""),
    ("b", 1, "test", ""),
    ("b", 1, "test", "image"),
    ("b", 2, "validation", ""),
    ("a", 2, "test", ""),
]


def write(folder: Path, rows: list[tuple[str, int, str, str]]) -> None:
    probabilities = to_arrow(np.tile([0.9, 0.1], (len(rows), 1)))
    columns = [
        [row[0] for row in rows],
        ["x"] * len(rows),
        [f"group {row[0]}" for row in rows],
        *([row[i] for row in rows] for i in (1, 2, 3)),
    ]
    schema = probabilities_schema(2)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=False)]
    table = pa.table([*arrays, probabilities, probabilities], schema=schema)
    metadata = {
        "classes": ["x", "y"],
        "weights": {},
        "n_without_input": {"validation": 0, "test": 1},
    }
    write_table(folder / "probabilities.parquet", table, metadata)


def test_rows_are_separated_by_role_and_by_ablated_modality(tmp_path: Path):
    write(tmp_path, ROWS)
    model = load_model(tmp_path, "text", "svm")
    assert model.validation.skus.tolist() == ["a", "b"]
    assert (model.test.skus.tolist(), model.test.folds.tolist()) == (["b", "a"], [1, 2])
    assert model.test.groups.tolist() == ["group b", "group a"]
    assert {name: rows.skus.tolist() for name, rows in model.ablated.items()} == {"image": ["b"]}


def test_an_sku_keeps_a_null_character_at_its_end(tmp_path: Path):
    write(tmp_path, [("a\0", 1, "validation", ""), ("b\0", 1, "test", "")])
    model = load_model(tmp_path, "text", "svm")
    assert (model.validation.skus.tolist(), model.test.skus.tolist()) == (["a\0"], ["b\0"])


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (3, "no validation product in fold 2: raise split.validation"),
        (1, "no test product in fold 1: lower split.folds"),
    ],
)
def test_a_fold_that_lacks_a_role_is_named(tmp_path: Path, missing: int, said: str):
    write(tmp_path, ROWS[:missing] + ROWS[missing + 1 :])
    with pytest.raises(InputError, match=re.escape(said)):
        load_model(tmp_path, "text", "svm")


def test_where_few_products_have_images_one_may_do_without_a_model_of_images(tmp_path: Path):
    write(tmp_path, ROWS[:1] + ROWS[2:])
    with pytest.raises(InputError, match=r"or leave image out of modalities"):
        load_model(tmp_path, "image", "svm")


def test_the_only_fold_is_to_have_a_larger_share_for_testing(tmp_path: Path):
    write(tmp_path, ROWS[:1])
    with pytest.raises(InputError, match=r"no test product in fold 1: raise split\.test"):
        load_model(tmp_path, "text", "svm")


def test_a_table_without_products_is_named(tmp_path: Path):
    write(tmp_path, [])
    with pytest.raises(InputError, match="no validation product"):
        load_model(tmp_path, "text", "svm")
