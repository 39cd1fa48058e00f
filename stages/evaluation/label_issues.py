"""Which labels of a catalogue look wrong: confident learning (Northcutt, Jiang and Chuang 2021)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stages.evaluation.metrics import LabeledPredictions
from stages.evaluation.predictions import Model, PredictionSet, concatenate

COLUMNS = [
    *("rank", "suspect", "sku", "name", "label", "suggested_label"),
    *("label_probability", "suggested_probability"),
]


def audited_products(model: Model) -> PredictionSet:
    """Return every product that the model predicts without having seen its label, once each.

    With several folds these are the test products; with one, the validation products are added. A
    class of few groups may be unknown when its products are predicted: these are left out, for the
    model can say nothing of their label.
    """
    several = len(np.unique(model.test.folds)) > 1
    products = model.test if several else concatenate(model.validation, model.test)
    return products.select_rows(products.calibrated.knows_label)


def doubted_labels(predictions: LabeledPredictions) -> np.ndarray:
    """Return the indices of products whose label differs from the prediction, worst first: int64.

    The worst label is the one to which the model gives the lowest probability.
    """
    from cleanlab.filter import find_label_issues

    return find_label_issues(
        predictions.y_true,
        predictions.normalized(),
        filter_by="predicted_neq_given",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )


def count_wrong_labels(predictions: LabeledPredictions) -> int:
    """Estimate how many labels are wrong: a model may doubt many that are right.

    Confident learning counts the products that the model assigns to another class with more
    confidence than it usually has in that class's own products.
    """
    from cleanlab.count import num_label_issues

    return int(num_label_issues(predictions.y_true, predictions.normalized()))


def issue_rows(products: PredictionSet, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a row for each doubted label, the worst first; `names` has product names by sku.

    The first rows are `suspect`, as many as there are wrong labels by estimate. There are none
    where all products have one label: classes are compared.
    """
    predictions = products.calibrated
    if len(np.unique(predictions.y_true)) < 2:
        return []
    classes, y_true, y_pred = predictions.classes, predictions.y_true, predictions.y_pred
    confidence = predictions.confidence
    suspects = count_wrong_labels(predictions)
    return [
        {
            "rank": rank,
            "suspect": "yes" if rank <= suspects else "no",
            "sku": str(products.skus[i]),
            "name": names[str(products.skus[i])],
            "label": classes[y_true[i]],
            "suggested_label": classes[y_pred[i]],
            "label_probability": round(float(predictions.probabilities[i, y_true[i]]), 4),
            "suggested_probability": round(float(confidence[i]), 4),
        }
        for rank, i in enumerate(doubted_labels(predictions), start=1)
    ]
