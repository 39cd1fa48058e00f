"""How the best models of two states compare, on the test products that both have."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from stages.common.errors import InputError
from stages.evaluation.bootstrap import ClusterBootstrap
from stages.evaluation.metrics import LabeledPredictions
from stages.evaluation.predictions import PredictionSet
from stages.evaluation.significance import Difference, compare
from tools.review.state import State

SEED = 42
METRICS = ("accuracy", "macro_f1")


@dataclass(frozen=True)
class Comparison:
    """The best models of a modality; `found` says how much better the new one is.

    `relabeled` of the test products have another label than before.
    """

    modality: str
    before: str
    after: str
    found: Difference
    relabeled: int

    def is_shown(self, sign: int) -> bool:
        """Return whether a metric is higher, or with a `sign` of -1 lower, beyond its interval."""
        intervals = [getattr(self.found, key) for key in METRICS]
        return any((one.low if sign > 0 else -one.high) > 0 for one in intervals)


@dataclass(frozen=True)
class ChangedPrediction:
    """A test product whose prediction is another one."""

    sku: str
    name: str
    label: str
    before: str
    after: str
    probability: float  # of the new prediction
    was_right: bool  # which the names do not say where a class has another one

    @property
    def outcome(self) -> str:
        """Say whether that is for the better or for the worse."""
        if self.was_right:
            return "now wrong"
        return "now right" if self.after == self.label else "still wrong"


def compare_modalities(base: State, ours: State) -> list[Comparison]:
    """Compare the best models of each modality that both states have.

    Raises InputError where they have no test product in common.
    """
    compared = []
    for modality in [name for name in ours.models if name in base.models]:
        first, second = _pair(base, ours, modality)
        found = compare(second, first, ClusterBootstrap(second.groups, SEED)) if second else None
        if found is None:
            raise InputError(
                f"the models of {modality} have no test product in common: the split or the data "
                "is another one, so that no figure can be compared"
            )
        before, after = (state.headline[modality]["model"] for state in (base, ours))
        relabeled = _count_relabeled(base, ours, modality)
        compared.append(Comparison(modality, before, after, found, relabeled))
    if not compared:
        raise InputError("no modality has a model before and after the change: nothing to compare")
    return compared


def changed_predictions(
    base: State, ours: State, names: Mapping[str, str]
) -> list[ChangedPrediction]:
    """Return the products whose prediction changed, the worst first.

    They are those of the best model of all. `names` has products' names by sku. One that both get
    right, under another name of its class, is none of them.
    """
    modality = ours.headline["best_model"].split("-")[0]
    if modality not in base.models:
        return []
    before, after = _pair(base, ours, modality)
    old, new = before.calibrated, after.calibrated
    rows = zip(
        after.skus.tolist(), _labels(after), _names(old, old.y_pred),
        _names(new, new.y_pred), new.confidence.tolist(), old.correct.tolist(), strict=True,
    )  # fmt: skip
    changed = [
        ChangedPrediction(sku, names.get(sku, ""), label, was, now, probability, was_right)
        for sku, label, was, now, probability, was_right in rows
        if was != now and not (was_right and now == label)
    ]
    worst = {"now wrong": 0, "still wrong": 1, "now right": 2}
    return sorted(changed, key=lambda one: (worst[one.outcome], -one.probability, one.sku))


def _pair(base: State, ours: State, modality: str) -> tuple[PredictionSet, PredictionSet]:
    """Return what both predict for the test products of both, in one order and with one grouping.

    The bootstrap draws the same groups for both; near-duplicates may be found in another way now.
    A label that was corrected counts for both, or it would make the new model look better; but not
    where the old model did not know the class, which may be a new name. Where the new model does
    not know the old class, which may be part of the new one now, the old model may name either.
    """
    before, after = _common(base, ours, modality)
    old = before.calibrated
    known = {name: column for column, name in enumerate(old.classes)}
    gone = set(old.classes) - set(after.calibrated.classes)
    y_true = np.array(
        [
            known[was] if new not in known or (was in gone and said == was) else known[new]
            for was, new, said in zip(
                _labels(before), _labels(after), _names(old, old.y_pred), strict=True
            )
        ],
        dtype=np.int64,
    )
    return replace(before, groups=after.groups, calibrated=replace(old, y_true=y_true)), after


def _count_relabeled(base: State, ours: State, modality: str) -> int:
    before, after = _common(base, ours, modality)
    return sum(was != new for was, new in zip(_labels(before), _labels(after), strict=True))


def _common(base: State, ours: State, modality: str) -> tuple[PredictionSet, PredictionSet]:
    """Return what both predict for the test products of both, in one order."""
    before, after = base.models[modality].test, ours.models[modality].test
    _, old_rows, new_rows = np.intersect1d(before.skus, after.skus, return_indices=True)
    return before.select_rows(old_rows), after.select_rows(new_rows)


def _labels(products: PredictionSet) -> list[str]:
    return _names(products.calibrated, products.calibrated.y_true)


def _names(predictions: LabeledPredictions, columns: np.ndarray) -> list[str]:
    return np.array(predictions.classes)[columns].tolist()
