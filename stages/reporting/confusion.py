"""The confusion matrices of the page, whose cells lead to the products that they count."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from stages.reporting.cards import Cards
from stages.reporting.results import Predicted, Results

MAX_CLASSES = 30  # rows of a matrix: more cannot be read
MAX_RIGHT = 3  # products shown that are right, of each class

Pair = tuple[str, str]  # label and prediction


@dataclass(frozen=True)
class ConfusionMatrix:
    """The test products by label and prediction, of a modality's best model.

    `classes` are those with most mistakes where there are too many, in the order of their names.
    """

    modality: str
    model: str
    n_classes: int
    classes: Sequence[str]
    counts: Mapping[Pair, int]
    supports: Mapping[str, int]  # test products by label
    skus: Mapping[Pair, Sequence[str]]  # the most telling first

    @property
    def mistakes(self) -> int:
        """How many test products are predicted wrong."""
        return sum(count for (label, found), count in self.counts.items() if label != found)


def confusion_matrices(results: Results) -> list[ConfusionMatrix]:
    """Return a matrix per modality, in the order of the metrics."""
    return [_matrix(results, modality, found) for modality, found in results.predictions.items()]


def _matrix(
    results: Results, modality: str, predictions: Mapping[str, Predicted]
) -> ConfusionMatrix:
    skus: dict[Pair, list[str]] = {}
    for sku, found in predictions.items():
        skus.setdefault((results.products[sku].label, found.prediction), []).append(sku)
    for (label, prediction), listed in skus.items():
        # Mistakes that the model is sure of, and right answers that it doubts, tell most.
        sign = 1 if label == prediction else -1
        listed.sort(key=lambda sku: (sign * predictions[sku].probability, sku))
    counts = {pair: len(listed) for pair, listed in skus.items()}
    names = sorted({name for pair in counts for name in pair})
    mistakes: Counter[str] = Counter()
    supports: Counter[str] = Counter()
    for (label, prediction), count in counts.items():
        supports[label] += count
        if label != prediction:
            mistakes[label] += count
            mistakes[prediction] += count
    worst = sorted(names, key=lambda name: (-mistakes[name], name))[:MAX_CLASSES]
    model = results.headline[modality]["model"]
    return ConfusionMatrix(modality, model, len(names), sorted(worst), counts, supports, skus)


def show_cells(
    matrices: Sequence[ConfusionMatrix], cards: Cards, limit: int
) -> dict[tuple[str, Pair], str]:
    """Make a list of cards for each cell that is shown; return its key by modality and cell.

    Each cell gets its first product before any gets its second one, and so on until there are
    `limit` cards.
    """
    keys: dict[tuple[str, Pair], str] = {}
    wanted: dict[str, Sequence[str]] = {}
    for matrix in matrices:
        shown = set(matrix.classes)
        for pair, skus in matrix.skus.items():
            if shown.issuperset(pair):
                key = keys[matrix.modality, pair] = f"cell-{len(keys)}"
                wanted[key] = skus[:MAX_RIGHT] if pair[0] == pair[1] else skus
                cards.lists[key] = []
    for turn in zip_longest(*wanted.values()):
        for key, sku in zip(wanted, turn, strict=True):
            if sku is not None and (number := cards.add(sku, limit)) is not None:
                cards.lists[key].append(number)
    return keys
