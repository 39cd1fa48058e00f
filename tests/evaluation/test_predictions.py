import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from helpers.held_out_products import held_out

from stages.common.errors import InputError
from stages.common.tables import probabilities_schema, to_arrow, write_table
from stages.evaluation.predictions import Model, best_on_validation, load_model

ROWS = [  # sku, fold, part, withheld
    ("a", 0, "validation", ""),
    ("b", 0, "test", ""),
    ("b", 0, "test", "image"),
    ("b", 1, "validation", ""),
    ("a", 1, "test", ""),
]


def write(folder: Path, rows: list[tuple[str, int, str, str]]) -> None:
    probabilities = to_arrow(np.tile([0.9, 0.1], (len(rows), 1)))
    columns = [
        [row[0] for row in rows],
        ["x"] * len(rows),
        [f"group {row[0]}" for row in rows],
        *([row[at] for row in rows] for at in (1, 2, 3)),
    ]
    schema = probabilities_schema(2)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=False)]
    table = pa.table([*arrays, probabilities, probabilities], schema=schema)
    facts = {"classes": ["x", "y"], "weights": {}, "unseen": {"validation": 0, "test": 1}}
    write_table(folder / "svm/text" / "probabilities.parquet", table, facts)


def test_rows_are_told_apart_by_part_and_by_what_was_withheld(tmp_path: Path):
    write(tmp_path, ROWS)
    model = load_model(tmp_path, "text", "svm")
    assert model.validation.skus.tolist() == ["a", "b"]
    assert (model.test.skus.tolist(), model.test.folds.tolist()) == (["b", "a"], [0, 1])
    assert model.test.groups.tolist() == ["group b", "group a"]
    assert {kind: rows.skus.tolist() for kind, rows in model.withheld.items()} == {"image": ["b"]}


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (3, "no validation product in fold 1: raise split.validation"),
        (1, "no test product in fold 0: raise split.test"),
    ],
)
def test_a_fold_that_lacks_a_part_is_named(tmp_path: Path, missing: int, said: str):
    write(tmp_path, ROWS[:missing] + ROWS[missing + 1 :])
    with pytest.raises(InputError, match=re.escape(said)):
        load_model(tmp_path, "text", "svm")


def test_a_table_without_products_is_named(tmp_path: Path):
    write(tmp_path, [])
    with pytest.raises(InputError, match="no validation product"):
        load_model(tmp_path, "text", "svm")


def test_models_are_chosen_by_the_mean_of_their_folds():
    folds = [0] * 8 + [1] * 2
    truth = [0, 1] * 5
    better_pooled = held_out(truth, [*truth[:8], 2, 2], folds=folds)
    better_by_fold = held_out(truth, [2, 2, *truth[2:6], 2, 2, *truth[8:]], folds=folds)
    models = [
        Model("text", name, validation, validation, {}, 0, {})
        for name, validation in (("pooled", better_pooled), ("by fold", better_by_fold))
    ]
    assert best_on_validation(models).classifier == "by fold"
