"""Which labels of a catalogue look wrong: confident learning (Northcutt, Jiang and Chuang 2021)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stages.evaluation.metrics import Judged
from stages.evaluation.predictions import HeldOut, Model, joined

ISSUE_COLUMNS = [
    *("rank", "suspect", "sku", "name", "label", "suggested_label"),
    *("label_probability", "suggested_probability"),
]


def audited(model: Model) -> HeldOut:
    """Return every product that the model judged without having seen its label, once each.

    With several folds the test products are all there are; with one, validation products join.
    """
    if len(np.unique(model.test.folds)) > 1:
        return model.test
    return joined(model.validation, model.test)


def doubted_labels(judged: Judged) -> np.ndarray:
    """Return the positions of products whose label the model disagrees with, worst first: int64.

    Worst is the label that the model gives the lowest probability.
    """
    others = np.flatnonzero(~judged.correct)
    return others[np.argsort(judged.probabilities[others, judged.truth[others]], kind="stable")]


def wrong_labels(judged: Judged) -> int:
    """Estimate how many labels are wrong: a model may disagree with many that are right.

    Confident learning counts the products of which the model is surer that they are of another
    class than it usually is of that class's own products.
    """
    from cleanlab.count import num_label_issues

    total = judged.probabilities.sum(axis=1, keepdims=True)  # float32 sums to 1 only roughly
    return int(num_label_issues(judged.truth, judged.probabilities / total))


def issue_rows(products: HeldOut, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the products whose label the model disagrees with, the worst first.

    As many as there are wrong labels, by estimate, are `suspect`. `names` has the products' names
    by sku.
    """
    judged = products.judged
    suspects = wrong_labels(judged)
    return [
        {
            "rank": rank,
            "suspect": "yes" if rank <= suspects else "no",
            "sku": str(products.skus[at]),
            "name": names[str(products.skus[at])],
            "label": judged.classes[judged.truth[at]],
            "suggested_label": judged.classes[judged.predicted[at]],
            "label_probability": round(float(judged.probabilities[at, judged.truth[at]]), 4),
            "suggested_probability": round(float(judged.confidence[at]), 4),
        }
        for rank, at in enumerate(doubted_labels(judged), start=1)
    ]
