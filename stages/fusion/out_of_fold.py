"""The tables that a modality's models leave: predictions for held-out products, and curves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages.common.splits import TEST, VALIDATION, Splits
from stages.common.tables import probabilities_schema, to_arrow
from stages.fusion.ablation import modality_ablations
from stages.fusion.features import Features
from stages.fusion.model import FusedModel, Predictions


@dataclass(frozen=True)
class HeldOutPredictions:
    """A fold's predictions for some of the products that were held out.

    `rows` are the products' row numbers in the splits, int of shape (n,); `classes` name the
    columns of `predictions`; `role` is validation or test.
    """

    rows: np.ndarray
    predictions: Predictions
    classes: list[str]
    fold: int
    role: str
    ablated_modality: str = ""


def predict_test(
    model: FusedModel, features: Features, rows: np.ndarray, fold: int
) -> list[HeldOutPredictions]:
    """Predict for the test products that have a block, and for those that have both without one.

    `features` are of the model's blocks, `rows` the products' row numbers in the splits.
    """
    has = features.any_present()
    features, rows = features.select_rows(has), rows[has]
    return [
        HeldOutPredictions(
            rows[chosen], model.predict_proba(shown), model.classes, fold, TEST, ablated
        )
        for ablated, chosen, shown in modality_ablations(features)
    ]


def prediction_table(
    splits: Splits, classes: list[str], found: Sequence[HeldOutPredictions]
) -> pa.Table:
    """Put predictions into one table; a class that a fold did not train on gets 0."""
    schema = probabilities_schema(len(classes))
    return pa.concat_tables([_table(splits, classes, part, schema) for part in found])


def _table(
    splits: Splits, classes: list[str], part: HeldOutPredictions, schema: pa.Schema
) -> pa.Table:
    n, columns = len(part.rows), np.searchsorted(classes, part.classes)
    vectors = []
    for rows in (part.predictions.probabilities, part.predictions.uncalibrated):
        wide = np.zeros((n, len(classes)), dtype=np.float32)
        wide[:, columns] = rows
        vectors.append(to_arrow(wide))
    products = (splits.skus, splits.labels, splits.groups)
    texts = [pa.array(column[part.rows].tolist(), pa.string()) for column in products]
    constants = [[part.fold] * n, [part.role] * n, [part.ablated_modality] * n]
    arrays = [
        pa.array(column, kind) for column, kind in zip(constants, schema.types[3:6], strict=True)
    ]
    return pa.table([*texts, *arrays, *vectors], schema=schema)


def count_without_input(splits: Splits, found: Sequence[HeldOutPredictions]) -> dict[str, int]:
    """Count the validation and the test products that no fold has predictions for.

    They have none of the modality's inputs. A product is counted once, whatever its folds.
    """
    counts = {}
    for role in (VALIDATION, TEST):
        products = np.count_nonzero((splits.roles == role).any(axis=1))
        rows = [part.rows for part in found if part.role == role]
        counts[role] = int(products - len(np.unique(np.concatenate(rows))))
    return counts


def learning_curves(histories: Sequence[dict[str, list[float]]]) -> list[dict[str, int | str]]:
    """Return the losses and accuracies by fold and epoch, as rows; none without epochs.

    A curve that was not recorded, as there were no products to judge by, has empty cells.
    """
    return [
        {"fold": fold, "epoch": epoch + 1}
        | {name: f"{values[epoch]:.4f}" if values else "" for name, values in history.items()}
        for fold, history in enumerate(histories, start=1)
        for epoch in range(max(map(len, history.values()), default=0))
    ]
