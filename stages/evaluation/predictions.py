"""What a trained model says of the products that were held out from it, as evaluate reads it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.common.errors import InputError
from stages.common.tables import (
    check_schema,
    from_arrow,
    metadata_of,
    probabilities_schema,
    read_table,
)
from stages.evaluation.metrics import Judged, judge, score

Scores = dict[str, float]


@dataclass(frozen=True)
class HeldOut:
    """Held-out products, judged: `skus`, `groups` (text) and `folds` (int) are of shape (n,).

    `judged` has the calibrated probabilities, `uncalibrated` those before.
    """

    skus: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    judged: Judged
    uncalibrated: Judged

    def where(self, chosen: np.ndarray) -> "HeldOut":
        """Return the products that `chosen`, booleans or positions, picks."""
        columns = (self.skus, self.groups, self.folds)
        return HeldOut(
            *(column[chosen] for column in columns),
            self.judged.where(chosen),
            self.uncalibrated.where(chosen),
        )


@dataclass(frozen=True)
class Model:
    """A trained model, and the products held out from it.

    With several folds there is a row of `validation` per fold and product; each product is in
    `test` once. `withheld` has test products again, judged without their image or text.
    """

    modality: str
    classifier: str
    validation: HeldOut
    test: HeldOut
    withheld: dict[str, HeldOut]
    unseen: int  # test products that have none of the modality's inputs
    weights: dict[str, str]  # encoder to kind

    @property
    def name(self) -> str:
        """The model's name in plots and predictions."""
        return f"{self.modality}-{self.classifier}"

    @cached_property
    def test_scores(self) -> Scores:
        """The figures of all test products."""
        return score(self.test.judged)

    @cached_property
    def validation_scores(self) -> Scores:
        """The means of the folds' figures: validation products repeat across folds."""
        folds = self.validation.folds
        each = [score(self.validation.judged.where(folds == fold)) for fold in np.unique(folds)]
        return {key: float(np.mean([figures[key] for figures in each])) for key in each[0]}


def load_model(folder: Path, modality: str, classifier: str) -> Model:
    """Read the model of a modality in `folder`.

    Raises InputError where its table is missing or malformed, or a fold lacks products of a part.
    """
    path = folder / classifier / modality / "probabilities.parquet"
    table = read_table(path)
    facts = metadata_of(table.schema)
    missing = [key for key in ("classes", "weights", "unseen") if key not in facts]
    if missing:
        raise InputError(f"{path} does not say its {missing[0]}: `dvc repro -f` rebuilds it")
    check_schema(path, table.schema, probabilities_schema(len(facts["classes"])))
    part, withheld = (np.array(table[name].to_pylist(), dtype=str) for name in ("part", "withheld"))
    rows = _held_out(table, facts["classes"])
    parts = {name: (part == name) & (withheld == "") for name in ("validation", "test")}
    for name, chosen in parts.items():
        for fold in np.unique(rows.folds) if len(part) else [0]:
            if not (rows.folds[chosen] == fold).any():
                raise InputError(
                    f"{path} has no {name} product in fold {fold}: raise split.{name} in "
                    "params.yaml, or give more products"
                )
    return Model(
        modality=modality,
        classifier=classifier,
        **{name: rows.where(chosen) for name, chosen in parts.items()},
        withheld={
            kind: rows.where(withheld == kind)
            for kind in ("image", "text")
            if (withheld == kind).any()
        },
        unseen=facts["unseen"]["test"],
        weights=facts["weights"],
    )


def _held_out(table: pa.Table, classes: Sequence[str]) -> HeldOut:
    """Take a table of schema probabilities_schema apart."""
    labels = table["label"].to_pylist()
    judged = [
        judge(classes, labels, from_arrow(table[name])[0])
        for name in ("probabilities", "uncalibrated")
    ]
    texts = [np.array(table[name].to_pylist(), dtype=str) for name in ("sku", "group")]
    return HeldOut(*texts, table["fold"].to_numpy(), *judged)


def joined(first: HeldOut, second: HeldOut) -> HeldOut:
    """Put products of one model below others of it."""
    both = []
    for name in ("judged", "uncalibrated"):
        above, below = getattr(first, name), getattr(second, name)
        columns = [(above.truth, below.truth), (above.probabilities, below.probabilities)]
        both.append(Judged(above.classes, *map(np.concatenate, columns)))
    columns = [(getattr(first, key), getattr(second, key)) for key in ("skus", "groups", "folds")]
    return HeldOut(*map(np.concatenate, columns), *both)


def best_on_validation(models: Iterable[Model]) -> Model:
    """Return the model with the highest macro F1 on validation; ties: accuracy, then the first."""
    return max(
        models, key=lambda model: [model.validation_scores[key] for key in ("macro_f1", "accuracy")]
    )


def best_of_modalities(models: Sequence[Model]) -> dict[str, Model]:
    """Return each modality's best model, in the order of params."""
    modalities = dict.fromkeys(model.modality for model in models)
    return {
        modality: best_on_validation(model for model in models if model.modality == modality)
        for modality in modalities
    }
