"""Fit the models of all modalities: to the products of one fold, or to all products.

`fit_fold` fits the members in cross-validation, fits them once more to all products where
validation took turns, and then puts each modality's model together and calibrates it. `fit_all`
fits the members to all labelled products, and calibrates by what the folds predicted for products
that were held out. A member that several modalities have is fitted once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.classifiers.base import Classifier
from stages.common.errors import InputError
from stages.common.splits import TEST, VALIDATION
from stages.fusion.calibration import LogOpinionPool, fit_pool
from stages.fusion.features import Features
from stages.fusion.members import (
    Member,
    MemberPredictions,
    fit_member,
    pool_names,
    predict_member,
    rows_by_pool,
)
from stages.fusion.model import FusedModel, Predictions, pool_predictions
from stages.fusion.preprocessing import BlockPreprocessor

History = dict[str, list[float]]
# Takes which products to read, boolean of shape (n,); gives the features of those that have a block
# and their row numbers. Features are read when they are needed: a large catalogue's fit in memory
# about once.
Reader = Callable[[np.ndarray], tuple[Features, np.ndarray]]


@dataclass(frozen=True)
class Task:
    """What is fitted: a kind of classifier, its settings, and the members of each modality.

    `classes` are those of all products: they name the columns of members' probabilities.
    """

    kind: str
    settings: Any
    strategy: str
    seed: int
    plan: Mapping[str, Mapping[str, Member]]
    classes: Sequence[str]

    @property
    def members(self) -> list[Member]:
        """The members of all modalities, each once, in the order in which they are fitted."""
        return list(
            dict.fromkeys(one for members in self.plan.values() for one in members.values())
        )


@dataclass(frozen=True)
class FittedMembers:
    """Members that were fitted on the same products, whose labels are `labels`, str (n,).

    `used` says of each member which of them it was fitted on, boolean of shape (n,).
    """

    preprocessor: BlockPreprocessor
    classifiers: dict[Member, Classifier]
    used: dict[Member, np.ndarray]
    labels: np.ndarray


@dataclass(frozen=True)
class OutOfFold:
    """What members predict for products that they were not fitted on.

    `rows` are the products' row numbers, int of shape (n,), and `labels` their labels.
    """

    rows: np.ndarray
    labels: np.ndarray
    predictions: dict[Member, MemberPredictions]


@dataclass(frozen=True)
class TrainedModel:
    """A modality's model, and its predictions for the validation products that it can see.

    `rows` are their row numbers, int of shape (n,). The predictions are out of fold: by members
    that were not fitted on the product. `history` is how the first member was fitted,
    `block_weights` what the model sees, `n_products` how many products it was fitted on.
    """

    model: FusedModel
    block_weights: Mapping[str, float]
    n_products: int
    rows: np.ndarray
    validation: Predictions
    history: History


@dataclass(frozen=True)
class FittedFold:
    """A fold's models by modality, and what `fit_all` needs of how they came about."""

    trained: dict[str, TrainedModel]
    out_of_fold: OutOfFold
    histories: list[dict[Member, History]]


def fit_fold(task: Task, read: Reader, roles: np.ndarray, turns: np.ndarray) -> FittedFold:
    """Fit the model of each modality to the training products of a fold.

    `roles`, str, and `turns`, int, are of shape (n,), as in data/splits.parquet. Test products are
    not read. Raises InputError where the products do not allow it.
    """
    fitted, out_of_fold, histories = cross_fit(task, read, roles, turns)
    if turns[roles == VALIDATION].any():
        fitted = refit(task, read, roles != TEST, histories)
    trained = _put_together(task, fitted, out_of_fold, histories)
    return FittedFold(trained, out_of_fold, histories)


def fit_all(
    task: Task, read: Reader, n_products: int, folds: Sequence[FittedFold]
) -> dict[str, TrainedModel]:
    """Fit the model of each modality to all products, those for testing as well.

    It is calibrated by what the `folds` predicted for their validation products, of which one may
    occur in several. No product is left to judge it by: the folds' own models are judged in its
    place.
    """
    histories = [history for fold in folds for history in fold.histories]
    fitted = refit(task, read, np.ones(n_products, dtype=bool), histories)
    out_of_fold = _joined([fold.out_of_fold for fold in folds])
    return _put_together(task, fitted, out_of_fold, histories)


def _put_together(
    task: Task,
    fitted: FittedMembers,
    out_of_fold: OutOfFold,
    histories: Sequence[Mapping[Member, History]],
) -> dict[str, TrainedModel]:
    """Make each modality's model of the members, calibrated by predictions out of fold."""
    trained = {}
    for modality, members in task.plan.items():
        classes, pools = calibrate(task, modality, fitted, out_of_fold)
        own = {name: out_of_fold.predictions[member] for name, member in members.items()}
        seen = np.logical_or.reduce([one.sees for one in own.values()])
        columns = np.searchsorted(task.classes, classes)
        blocks = {
            block: weight
            for member in members.values()
            for block, weight in member.block_weights.items()
        }
        model = FusedModel(
            task.kind,
            classes,
            fitted.preprocessor.select_blocks(blocks),
            {name: fitted.classifiers[member] for name, member in members.items()},
            pools,
        )
        validation = pool_predictions(
            {name: one.select(seen, columns) for name, one in own.items()}, pools
        )
        history = histories[0][next(iter(members.values()))]
        n_products = np.logical_or.reduce([fitted.used[one] for one in members.values()]).sum()
        trained[modality] = TrainedModel(
            model, blocks, int(n_products), out_of_fold.rows[seen], validation, history
        )
    return trained


def cross_fit(
    task: Task, read: Reader, roles: np.ndarray, turns: np.ndarray
) -> tuple[FittedMembers, OutOfFold, list[dict[Member, History]]]:
    """Fit the members without the validation products and predict for these, turn by turn.

    Return the members of the last turn, the predictions for all validation products that have a
    block, and the members' histories in each turn.
    """
    parts: list[OutOfFold] = []
    histories = []
    for turn in np.unique(turns[roles == VALIDATION]):
        is_validation = (roles == VALIDATION) & (turns == turn)
        preprocessor, train = _read_training_products(task, read, (roles != TEST) & ~is_validation)
        validation, rows = read(is_validation)
        validation = preprocessor.transform(validation)
        settings = dict.fromkeys(task.members, task.settings)
        fitted = _fit_members(task, settings, preprocessor, train, validation)
        del train  # before the next turn's are read
        predictions = {
            member: predict_member(
                classifier, validation.select_blocks(member.block_weights), task.classes
            )
            for member, classifier in fitted.classifiers.items()
        }
        parts.append(OutOfFold(rows, validation.labels, predictions))
        histories.append({one: fitted.classifiers[one].history_ for one in task.members})
    if not parts:
        raise InputError("no validation product has anything to see: give more products")
    return fitted, _joined(parts), histories


def refit(
    task: Task, read: Reader, chosen: np.ndarray, histories: Sequence[Mapping[Member, History]]
) -> FittedMembers:
    """Fit the members to all `chosen` products, boolean of shape (n,), without validation.

    A classifier that is fitted in epochs gets as many as were best on validation, in the median of
    the turns.
    """
    settings = {
        member: _median_epochs(task.settings, [history[member] for history in histories])
        for member in task.members
    }
    preprocessor, train = _read_training_products(task, read, chosen)
    return _fit_members(task, settings, preprocessor, train, None)


def calibrate(
    task: Task, modality: str, fitted: FittedMembers, out_of_fold: OutOfFold
) -> tuple[list[str], dict[str, LogOpinionPool]]:
    """Fit a modality's pools to predictions out of fold; return its classes and the pools.

    Its classes are those of the products that its members were fitted on. Raises InputError where
    no product has all that a pool is for.
    """
    members = task.plan[modality]
    used = rows_by_pool(
        {name: fitted.used[member] for name, member in members.items()}, np.logical_or
    )
    sees = rows_by_pool(
        {name: out_of_fold.predictions[one].sees for name, one in members.items()}, np.logical_and
    )
    classes = sorted(set(fitted.labels[np.logical_or.reduce(list(used.values()))].tolist()))
    columns = np.searchsorted(task.classes, classes)
    pools = {}
    for pool, names in pool_names(members, task.strategy).items():
        usable = sees[pool] & np.isin(out_of_fold.labels, classes)
        if not usable.any():
            raise InputError(
                f"{modality}: no validation product has both image and text: raise "
                "split.validation in params.yaml, or give more products"
            )
        fitted_on = np.searchsorted(classes, fitted.labels[used[pool]])
        frequencies = np.bincount(fitted_on, minlength=len(classes)) / len(fitted_on)
        given = {
            name: out_of_fold.predictions[members[name]].select(usable, columns).probabilities
            for name in names
        }
        y_true = np.searchsorted(classes, out_of_fold.labels[usable])
        pools[pool] = fit_pool(given, y_true, frequencies)
    return classes, pools


def _read_training_products(
    task: Task, read: Reader, chosen: np.ndarray
) -> tuple[BlockPreprocessor, Features]:
    """Read the chosen products; return what was fitted to their blocks, and them preprocessed."""
    train, _ = read(chosen)
    preprocessor = BlockPreprocessor(task.seed).fit(train)
    return preprocessor, preprocessor.transform(train)


def _fit_members(
    task: Task,
    settings: Mapping[Member, Any],
    preprocessor: BlockPreprocessor,
    train: Features,
    validation: Features | None,
) -> FittedMembers:
    """Fit all members to products that were preprocessed."""
    fitted = FittedMembers(preprocessor, {}, {}, train.labels)
    for member in task.members:
        fitted.classifiers[member], fitted.used[member] = fit_member(
            member, task.kind, settings[member], task.seed, train, validation
        )
    return fitted


def _joined(parts: Sequence[OutOfFold]) -> OutOfFold:
    """Put the predictions of turns or folds together, in the order of the products."""

    def join(arrays: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate(list(arrays))[order]

    order = np.argsort(np.concatenate([part.rows for part in parts]), kind="stable")
    predictions = {
        member: MemberPredictions(
            join(part.predictions[member].sees for part in parts),
            join(part.predictions[member].probabilities for part in parts),
        )
        for member in parts[0].predictions
    }
    return OutOfFold(
        join(part.rows for part in parts), join(part.labels for part in parts), predictions
    )


def _median_epochs(settings: Any, histories: Sequence[History]) -> Any:
    """Return the settings with as many epochs as were best on validation, in the median."""
    if not histories[0]:
        return settings
    best = [int(np.argmin(history["validation_loss"])) + 1 for history in histories]
    return settings.model_copy(update={"max_epochs": int(np.median(best))})
