"""A model's mistakes, for a person to look at: pairs of classes that it confuses, worst cases."""

import numpy as np

from stages.evaluation.metrics import confusion
from stages.evaluation.predictions import HeldOut

PAIRS = 20
EXAMPLES = 3  # of each pair
CASES = 20


def confused_pairs(products: HeldOut) -> list[tuple[int, int, np.ndarray]]:
    """Return the classes most often confused, as (label, prediction, positions of products).

    The most frequent come first, at most PAIRS. Of a pair's products, those of which the model was
    surest come first, at most EXAMPLES. Classes are positions in the judged classes.
    """
    counts = confusion(products.judged)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:PAIRS]
    worst = worst_first(products)
    pairs = []
    for label, prediction in zip(*np.unravel_index(order, counts.shape), strict=True):
        if counts[label, prediction]:
            judged = products.judged.where(worst)
            same = (judged.truth == label) & (judged.predicted == prediction)
            pairs.append((int(label), int(prediction), worst[same][:EXAMPLES]))
    return pairs


def worst_first(products: HeldOut) -> np.ndarray:
    """Return the positions of the mistakes, those of which the model was surest first: int64."""
    wrong = np.flatnonzero(~products.judged.correct)
    return wrong[np.argsort(-products.judged.confidence[wrong], kind="stable")]
