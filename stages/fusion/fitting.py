"""Fit members to the products of one turn of validation, or to all: the units of work of training.

A unit reads the features that it needs, and is called here, in another process or on another
machine.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stages.classifiers.base.interface import Classifier
from stages.common.errors import InputError
from stages.common.splits import TEST, VALIDATION
from stages.fusion.features import Features
from stages.fusion.members import Member, MemberPredictions, fit_member, predict_member
from stages.fusion.preprocessing import BlockPreprocessor
from stages.fusion.saved_files import SavedFiles

History = dict[str, list[float]]
# Takes which products to read, boolean of shape (n,), and the blocks with their weights; gives the
# features, also of products that have none of the blocks. They are read when they are needed: those
# of a large catalogue fit in memory about once.
Reader = Callable[[np.ndarray, Mapping[str, float]], Features]


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

    @property
    def block_weights(self) -> dict[str, float]:
        """The blocks that some member sees, each with its weight in the last of them."""
        return _union(one.block_weights for one in self.members)

    def of(self, member: Member | None) -> "Task":
        """Return the task of one member alone; of all for None."""
        return replace(self, plan={member.modality: {member.name: member}}) if member else self


@dataclass(frozen=True)
class FittedMembers:
    """Members that were fitted on the same products, whose labels are `labels`, str (n,).

    `used` says of each member which of them it was fitted on, boolean of shape (n,). Where they
    come from another process, the classifiers can only be saved.
    """

    preprocessor: BlockPreprocessor
    classifiers: dict[Member, Classifier]
    used: dict[Member, np.ndarray]
    labels: np.ndarray

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to another process."""
        saved = {member: SavedFiles.of(one) for member, one in self.classifiers.items()}
        return vars(self) | {"classifiers": saved}

    @classmethod
    def of_members(cls, parts: "Sequence[FittedMembers]") -> "FittedMembers":
        """Put together what was fitted member by member."""
        return cls(
            BlockPreprocessor.joined(one.preprocessor for one in parts),
            _union(one.classifiers for one in parts),
            _union(one.used for one in parts),
            parts[0].labels,
        )


@dataclass(frozen=True)
class OutOfFold:
    """What members predict for products that they were not fitted on.

    `rows` are the products' row numbers, int of shape (n,), and `labels` their labels. A class that
    is in one turn of validation alone was unknown to the members in that turn.
    """

    rows: np.ndarray
    labels: np.ndarray
    predictions: dict[Member, MemberPredictions]

    def knows_label(self, members: Iterable[Member], classes: Sequence[str]) -> np.ndarray:
        """Return whether one of `members` was fitted on the product's label, boolean (n,)."""
        at = np.arange(len(self.labels)), np.searchsorted(classes, self.labels)
        return np.logical_or.reduce([self.predictions[one].known[at] for one in members])


@dataclass(frozen=True)
class CrossFit:
    """What came of members in cross-validation, in one turn or in several.

    `histories` says how each member was fitted in each turn. `fitted` are the members themselves
    where they are of use: where validation takes no turns.
    """

    out_of_fold: OutOfFold
    histories: list[Mapping[Member, History]]
    fitted: FittedMembers | None

    @classmethod
    def of_members(cls, parts: "Sequence[CrossFit]") -> "CrossFit":
        """Put together what came of a turn member by member."""
        found = [one.out_of_fold for one in parts]
        fitted = [one.fitted for one in parts if one.fitted]
        return cls(
            replace(found[0], predictions=_union(one.predictions for one in found)),
            [_union(one.histories[0] for one in parts)],
            FittedMembers.of_members(fitted) if fitted else None,
        )

    @classmethod
    def of_turns(cls, parts: "Sequence[CrossFit]") -> "CrossFit":
        """Put together what came of turns or folds, predictions in the order of the products."""

        def join(arrays: Iterable[np.ndarray]) -> np.ndarray:
            return np.concatenate(list(arrays))[order]

        found = [part.out_of_fold for part in parts]
        order = np.argsort(np.concatenate([one.rows for one in found]), kind="stable")
        predictions = {
            member: MemberPredictions(
                join(one.predictions[member].sees for one in found),
                join(one.predictions[member].probabilities for one in found),
                join(one.predictions[member].known for one in found),
            )
            for member in found[0].predictions
        }
        rows, labels = join(one.rows for one in found), join(one.labels for one in found)
        return cls(
            OutOfFold(rows, labels, predictions),
            [history for part in parts for history in part.histories],
            parts[0].fitted if len(parts) == 1 else None,
        )


def fit_turn(
    task: Task,
    read: Reader,
    fold: str,
    roles: np.ndarray,
    turns: np.ndarray,
    turn: int,
    takes_turns: bool,
    own: Mapping[Member, History] | None = None,
    others: Sequence[Mapping[Member, History]] = (),
    only: Member | None = None,
) -> CrossFit:
    """Fit the members without the validation products of a turn, and predict for these.

    `roles` and `turns` are those of the fold, of shape (n,). The members are returned as well
    unless validation `takes_turns`. With the histories of `others`, a classifier that stops early
    gets as many epochs as were best in those; `own` is how it was fitted before. With `only` one
    of the members is fitted. A turn may have no product with an image, or with a text: the others
    judge what sees these, and say for how many epochs.
    """
    task = task.of(only)
    is_validation = (roles == VALIDATION) & (turns == turn)
    settings = _settings_of(task, others)
    with in_fold(fold):
        preprocessor, train = _read_training_products(task, read, (roles != TEST) & ~is_validation)
        validation = preprocessor.transform(read(is_validation, task.block_weights))
        judged_by = None if others else validation
        fitted = _fit_members(task, settings, preprocessor, train, judged_by, not takes_turns)
    predictions = {
        member: predict_member(
            classifier, validation.select_blocks(member.block_weights), task.classes
        )
        for member, classifier in fitted.classifiers.items()
    }
    histories = own or {one: fitted.classifiers[one].history_ for one in task.members}
    rows = np.flatnonzero(is_validation)
    out_of_fold = OutOfFold(rows, validation.labels, predictions)
    return CrossFit(out_of_fold, [histories], None if takes_turns else fitted)


def refit(
    task: Task,
    read: Reader,
    fold: str,
    chosen: np.ndarray,
    histories: Sequence[Mapping[Member, History]],
    only: Member | None = None,
) -> FittedMembers:
    """Fit the members to all `chosen` products, boolean of shape (n,), without validation.

    A classifier that stops early gets as many epochs as were best on validation, in the median of
    the turns. With `only` one of the members is fitted.
    """
    task = task.of(only)
    with in_fold(fold):
        preprocessor, train = _read_training_products(task, read, chosen)
        return _fit_members(task, _settings_of(task, histories), preprocessor, train, None)


def _read_training_products(
    task: Task, read: Reader, chosen: np.ndarray
) -> tuple[BlockPreprocessor, Features]:
    """Read the chosen products; return what was fitted to their blocks, and them preprocessed."""
    preprocessor = BlockPreprocessor(task.seed)
    return preprocessor, preprocessor.fit_transform(read(chosen, task.block_weights))


def _fit_members(
    task: Task,
    settings: Mapping[Member, Any],
    preprocessor: BlockPreprocessor,
    train: Features,
    validation: Features | None,
    needs_validation: bool = True,
) -> FittedMembers:
    """Fit all members to products that were preprocessed."""
    fitted = FittedMembers(preprocessor, {}, {}, train.labels)
    for member in task.members:
        fitted.classifiers[member], fitted.used[member] = fit_member(
            member,
            task.kind,
            settings[member],
            task.seed,
            train,
            validation,
            preprocessor.means,
            needs_validation,
        )
    return fitted


def _union(parts: Iterable[Mapping[Any, Any]]) -> dict[Any, Any]:
    """Return the entries of all mappings in one."""
    return {key: value for one in parts for key, value in one.items()}


def _settings_of(task: Task, histories: Sequence[Mapping[Member, History]]) -> dict[Member, Any]:
    """Return each member's settings; of what stops early, with the epochs of `histories`.

    They are those that were best in the median, if there are any.
    """
    found = dict.fromkeys(task.members, task.settings)
    for member in task.members:
        losses = [loss for of in histories if (loss := of[member].get("validation_loss"))]
        if task.settings.stops_early and losses:
            best = int(np.median([np.argmin(one) + 1 for one in losses]))
            found[member] = task.settings.model_copy(update={"max_epochs": best})
    return found


@contextmanager
def in_fold(fold: str) -> Iterator[None]:
    """Name the fold in what is raised as InputError."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{fold}{error}") from None
