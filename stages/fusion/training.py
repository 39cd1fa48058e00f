"""Fit the models of all modalities: to the products of each fold, and to all products.

The members are fitted in cross-validation, once more to all products of a fold where validation
took turns, and to all labelled products for the model that predicts. Each modality's model is then
put together and calibrated by what was predicted for products that were held out. A member that
several modalities have is fitted once. What does not depend on each other is fitted in parallel.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from stages.common.errors import InputError
from stages.common.splits import TEST, VALIDATION
from stages.compute.base import RunUnits
from stages.compute.local import Processes
from stages.fusion.calibration import LogOpinionPool, fit_pool
from stages.fusion.fitting import (
    CrossFit,
    FittedMembers,
    History,
    OutOfFold,
    Reader,
    Task,
    fit_turn,
    in_fold,
    refit,
)
from stages.fusion.members import (
    BOTH,
    Member,
    neutral_where_unknown,
    pool_names,
    rows_by_pool,
)
from stages.fusion.model import FusedModel, Predictions, pool_predictions

ONE_BY_ONE: RunUnits = Processes(1)


@dataclass(frozen=True)
class TrainedModel:
    """A modality's model, and its predictions for the validation products that it can see.

    `rows` are their row numbers, int of shape (n,). The predictions are out of fold: by members
    that were not fitted on the product. `history` is how the first member was fitted, in the first
    turn that had products to judge it by, `block_weights` what the model sees, `n_products` how
    many products it was fitted on.
    """

    model: FusedModel
    block_weights: Mapping[str, float]
    n_products: int
    rows: np.ndarray
    validation: Predictions
    history: History


@dataclass(frozen=True)
class Fold:
    """What is fitted in a fold: in each turn of validation, and `again` to all of its products.

    `name` stands for it in errors. `again` takes the turns' histories; it is None where the members
    of the only turn are the fold's.
    """

    name: str
    fits: Sequence[Callable[..., CrossFit]]
    again: Callable[[Sequence[Mapping[Member, History]]], FittedMembers] | None

    def crossed(self, histories: Sequence[Mapping[Member, History]]) -> list[partial[CrossFit]]:
        """Return the fits of turns for as many epochs as were best in the other turns."""
        return [
            partial(fit, own=histories[i], others=[*histories[:i], *histories[i + 1 :]])
            for i, fit in enumerate(self.fits)
        ]

    def refits(
        self, histories: Sequence[Mapping[Member, History]]
    ) -> list[Callable[[], FittedMembers]]:
        """Return the fit to all products as a unit of work, if there is one."""
        return [partial(self.again, histories)] if self.again else []


def fit_models(
    task: Task,
    read: Reader,
    roles: np.ndarray,
    turns: np.ndarray,
    is_refit: bool = False,
    run: RunUnits = ONE_BY_ONE,
) -> Iterator[dict[str, TrainedModel]]:
    """Fit the model of each modality to the training products of each fold.

    `roles`, str, and `turns`, int, are of shape (n, folds), as in data/splits.parquet. Yield the
    models by modality, fold by fold and as they are there, so that not all are in memory; their
    test products are not read. If `is_refit`, those fitted to all products come last. They are
    calibrated by what the folds predicted for validation products, and no product is left to judge
    them by: the folds' own are judged in their place.

    What `run` calls at the same time changes nothing in the models; `read` may be pickled. Raises
    InputError naming the fold where the products do not allow it.
    """
    task.settings.check_classes(task.classes)
    turns_of = [np.unique(turns[roles[:, at] == VALIDATION, at]) for at in range(roles.shape[1])]
    takes_turns = max(map(len, turns_of)) > 1
    folds = []
    for at, found in enumerate(turns_of):
        name = f"fold {at + 1}, "
        if not len(found):
            raise InputError(f"{name}no validation product has anything to see: give more products")
        own = roles[:, at], turns[:, at]
        fits = [partial(fit_turn, task, read, name, *own, turn, takes_turns) for turn in found]
        again = partial(refit, task, read, name, roles[:, at] != TEST) if takes_turns else None
        folds.append(Fold(name, fits, again))
    if is_refit:
        folds.append(Fold("", [], partial(refit, task, read, "", np.ones(len(roles), dtype=bool))))
    if task.settings.is_slow_to_fit:
        run = ByMember(run, task.members)
    schedule = _in_two_rounds if task.settings.stops_early else _in_one_round
    for fold, part, fitted in schedule(folds, run):
        yield _put_together(task, fold.name, fitted, part)


@dataclass(frozen=True)
class ByMember:
    """Calls `fit_turn` and `refit` for each member by itself, where there is room for more units.

    Features are read and preprocessed by each of them then.
    """

    run: RunUnits
    members: Sequence[Member]

    @property
    def places(self) -> int:
        """How many units are under way at a time, where there are so many."""
        return self.run.places

    def __call__(self, units: Sequence[Callable[..., Any]]) -> Iterator[Any]:
        """Yield what the units return, in their order."""
        if len(units) >= self.run.places or len(self.members) < 2:
            yield from self.run(units)
            return
        # Those that see most take longest: they come first.
        ordered = sorted(self.members, key=lambda one: len(one.block_weights), reverse=True)
        parts = self.run([partial(unit, only=one) for unit in units for one in ordered])
        for _ in units:
            found = list(islice(parts, len(ordered)))
            yield type(found[0]).of_members(found)


def _in_one_round(
    folds: Sequence[Fold], run: RunUnits
) -> Iterator[tuple[Fold, CrossFit, FittedMembers]]:
    """Fit to all products of a fold beside its turns."""
    units: list[Callable[[], Any]] = []
    for fold in folds:
        units += [*fold.fits, *fold.refits([])]
    results: Iterator[Any] = run(units)
    for fold, part in _joined_folds(folds, results):
        members: Any = next(results) if fold.again else part.fitted
        yield fold, part, members


def _in_two_rounds(
    folds: Sequence[Fold], run: RunUnits
) -> Iterator[tuple[Fold, CrossFit, FittedMembers]]:
    """Fit to all products of a fold after the turns, which say for how many epochs.

    The turns are fitted again then, each as the others say: what a turn predicts for products that
    said when to stop is better than for new ones, and pools would trust it too far.
    """
    results: Iterator[Any] = run([unit for one in folds for unit in one.fits])
    takes_turns = folds[0].again is not None
    if takes_turns:
        turns = [[one.histories[0] for one in islice(results, len(fold.fits))] for fold in folds]
        every = [one for found in turns for one in found]
        second: list[Callable[[], Any]] = []
        for fold, found in zip(folds, turns, strict=True):
            second += [*fold.crossed(found), *fold.refits(found or every)]
        results = run(second)
    for fold, part in _joined_folds(folds, results):
        members: Any = part.fitted
        if fold.again:
            members = next(results if takes_turns else run(fold.refits(part.histories)))
        yield fold, part, members


def _joined_folds(
    folds: Sequence[Fold], results: Iterator[CrossFit]
) -> Iterator[tuple[Fold, CrossFit]]:
    """Yield what came of each fold's turns; of all folds for the one that has no turns."""
    parts: list[CrossFit] = []
    for fold in folds:
        part = CrossFit.of_turns(list(islice(results, len(fold.fits))) if fold.fits else parts)
        parts.append(replace(part, fitted=None))
        yield fold, part


def _put_together(
    task: Task, fold: str, fitted: FittedMembers, part: CrossFit
) -> dict[str, TrainedModel]:
    """Make each modality's model of the members, calibrated by predictions out of fold."""
    out_of_fold = part.out_of_fold
    trained = {}
    for modality, members in task.plan.items():
        with in_fold(fold):
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
        judged = {name: one.select(seen, columns) for name, one in own.items()}
        validation = _without_unknown(
            pool_predictions(judged, pools),
            np.logical_or.reduce([one.known & one.sees[:, None] for one in judged.values()]),
        )
        first = next(iter(members.values()))
        curves = [one[first] for one in part.histories]
        history = next((one for one in curves if one.get("validation_loss")), curves[0])
        n_products = np.logical_or.reduce([fitted.used[one] for one in members.values()]).sum()
        trained[modality] = TrainedModel(
            model, blocks, int(n_products), out_of_fold.rows[seen], validation, history
        )
    return trained


def calibrate(
    task: Task, modality: str, fitted: FittedMembers, out_of_fold: OutOfFold
) -> tuple[list[str], dict[str, LogOpinionPool]]:
    """Fit a modality's pools to predictions out of fold; return its classes and the pools.

    Its classes are those of the products that its members were fitted on. A pool is fitted to the
    products whose label its members knew when they predicted them: of another, the members that
    know it now would have said something else. So it is of a product whose label only some knew.
    Raises InputError where no product has all that a pool is for.
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
            what = "both image and text" if pool == BOTH else f"{pool} input"
            raise InputError(
                f"{modality}: no validation product of a class to train on has {what}: give it to "
                f"more products, or in params.yaml raise split.validation or drop "
                f"modalities.{modality}"
            )
        own = [members[one] for one in names]
        was_known = usable & out_of_fold.knows_label(own, task.classes)
        known = was_known if was_known.any() else usable
        lost = np.setdiff1d(out_of_fold.labels[usable], out_of_fold.labels[known])
        by_all = known & _knew_what_they_know(fitted, out_of_fold, own, task.classes)
        kept = by_all if by_all.any() else known
        fitted_on = np.searchsorted(classes, fitted.labels[used[pool]])
        frequencies = np.bincount(fitted_on, minlength=len(classes)) / len(fitted_on)
        # Others would take a share from these where trust is low.
        met = np.flatnonzero((frequencies > 0) | np.isin(classes, out_of_fold.labels[kept]))
        given = neutral_where_unknown(
            {
                name: out_of_fold.predictions[members[name]].select(kept, columns[met])
                for name in names
            },
            frequencies[met],
        )
        found = fit_pool(
            given,
            np.searchsorted(np.array(classes)[met], out_of_fold.labels[kept]),
            # A class without a product here says nothing of how frequent ones are favoured.
            np.where(np.isin(classes, lost), 0, frequencies)[met],
            BOTH if BOTH in given else None,
            len(np.unique(out_of_fold.rows[kept])),
        )
        pools[pool] = replace(found, frequencies=frequencies.tolist())
    return classes, pools


def _knew_what_they_know(
    fitted: FittedMembers, out_of_fold: OutOfFold, members: Sequence[Member], classes: Sequence[str]
) -> np.ndarray:
    """Return of which products each member that knows the label now knew it then, boolean (n,)."""
    return np.logical_and.reduce(
        [
            out_of_fold.knows_label([member], classes)
            | ~np.isin(out_of_fold.labels, fitted.labels[fitted.used[member]])
            for member in members
        ]
    )


def _without_unknown(found: Predictions, known: np.ndarray) -> Predictions:
    """Give 0 to classes that no member knew when it predicted a product.

    `known` is boolean, of the shape of the probabilities.
    """
    partly = ~known.all(axis=1)
    probabilities = found.probabilities.copy()
    kept = np.where(known[partly], probabilities[partly], 0)
    probabilities[partly] = kept / kept.sum(axis=1, keepdims=True)
    return replace(found, probabilities=probabilities)
