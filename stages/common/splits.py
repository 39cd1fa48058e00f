"""Which products a model is fitted on, validated on and tested on: data/splits.parquet."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.common import paths
from stages.common.errors import InputError
from stages.common.tables import SPLITS, read_table, write_table

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"


@dataclass(frozen=True)
class Splits:
    """The role of each product in each fold; products are in the order of data/products.parquet.

    `skus`, `labels` and `groups` are arrays of str of shape (n,). `roles` (str: train, validation
    or test) and `turns` (int32) have shape (n, folds); column 0 is fold 1. A turn is 0, or counts
    from 1 where validation takes turns: the product is held out in that turn, and trained on in
    the other turns and in the final fit.
    """

    skus: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    roles: np.ndarray
    turns: np.ndarray

    @property
    def n_folds(self) -> int:
        """The number of folds."""
        return self.roles.shape[1]


def is_training_part(role: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Return where the model that is tested may be fitted on a product, as a boolean array.

    `role` and `turn` have one shape. A product in a turn of validation is in the final fit.
    """
    return (role == TRAIN) | ((role == VALIDATION) & (turn > 0))


def write_splits(path: Path, splits: Splits) -> None:
    """Write one row per fold and product, fold by fold."""
    n, folds = splits.roles.shape
    columns = [
        *(np.tile(values, folds) for values in (splits.skus, splits.labels, splits.groups)),
        np.repeat(np.arange(1, folds + 1, dtype=np.int32), n),
        splits.roles.T.ravel(),
        splits.turns.T.ravel(),
    ]
    arrays = [
        pa.array(column.tolist(), field.type) for column, field in zip(columns, SPLITS, strict=True)
    ]
    write_table(path, pa.table(arrays, schema=SPLITS))


def read_splits(path: Path = paths.SPLITS) -> Splits:
    """Read what `write_splits` wrote.

    Raises InputError where the file is missing, has another schema, or has not the same products
    in each fold.
    """
    table = read_table(path, SPLITS)
    fold = table["fold"].to_numpy()
    folds = int(fold.max(initial=1))
    n = len(fold) // folds
    # SKUs, and the groups that are named after them, may have any length and any character: an
    # array of fixed width would take much memory and drop a null character at the end.
    skus, groups = (np.array(table[name].to_pylist(), dtype=object) for name in ("sku", "group"))
    labels, roles = (np.array(table[name].to_pylist(), dtype=str) for name in ("label", "role"))
    turns = table["turn"].to_numpy().astype(np.int32)
    if not (
        np.array_equal(fold, np.repeat(np.arange(1, folds + 1), n))
        and all(
            np.array_equal(values, np.tile(values[:n], folds)) for values in (skus, labels, groups)
        )
    ):
        raise InputError(
            f"{path} has not the same products in each fold: `dvc repro -f split` rebuilds it"
        )
    return Splits(
        skus[:n], labels[:n], groups[:n], roles.reshape(folds, n).T, turns.reshape(folds, n).T
    )
