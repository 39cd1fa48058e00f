"""Split whole groups of products into parts, so that each class is in each part by its share."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import ceil
from typing import NamedTuple

import numpy as np

from stages.catalog.settings import SplitSettings, test_share
from stages.common.errors import InputError
from stages.common.splits import TEST, TRAIN, VALIDATION, Splits

FEW_PRODUCTS = 5000  # below which validation takes turns by itself,
AUTO_TURNS = 5  # and in how many

Mix = tuple[tuple[str, int], ...]  # the number of a group's products by class
Part = tuple[str, int]  # a role, and a turn of validation or 0


def assign_folds(
    skus: np.ndarray, labels: np.ndarray, groups: np.ndarray, settings: SplitSettings, seed: int
) -> Splits:
    """Return the role of each product in each fold.

    `skus`, `labels` and `groups` are arrays of str of shape (n,). The parts that a group is in
    depend on the seed, its name and the sizes of the groups of its classes, not on the order of
    rows.

    Raises InputError where a part of a fold would have no products, or training only one class.
    """
    n_turns = validation_turns(settings, labels, groups)
    # Besides test, each class needs so many of its groups.
    min_groups = max(2, n_turns)
    if settings.folds == 1:
        parts = [SplitPart(settings.test, 1), SplitPart(1 - settings.test, min_groups)]
    else:
        min_groups = ceil(min_groups / (settings.folds - 1))
        parts = [SplitPart(1 / settings.folds, min_groups)] * settings.folds
    test_fold = stratified_group_split(groups, labels, parts, f"{seed}")
    if n_turns == 1:
        share = settings.validation / (1 - test_share(settings))
        parts = [SplitPart(share, 1), SplitPart(1 - share, 1)]
    else:
        parts = [SplitPart(1 / n_turns, 1)] * n_turns
    roles = np.full((len(skus), settings.folds), TEST, dtype="U10")
    turns = np.zeros(roles.shape, dtype=np.int32)
    for fold in range(settings.folds):
        rows = np.flatnonzero(test_fold != fold)
        part = stratified_group_split(groups[rows], labels[rows], parts, f"{seed}:{fold}")
        if n_turns == 1:
            roles[rows, fold] = np.where(part == 0, VALIDATION, TRAIN)
        else:
            roles[rows, fold] = VALIDATION
            turns[rows, fold] = part + 1
    splits = Splits(skus, labels, groups, roles, turns)
    _check_parts(splits, n_turns, settings)
    return splits


def validation_turns(settings: SplitSettings, labels: np.ndarray, groups: np.ndarray) -> int:
    """Return in how many turns a catalogue is validated; 1 is one held-out part."""
    if settings.validation_folds != "auto":
        return settings.validation_folds
    pairs = set(zip(labels.tolist(), groups.tolist(), strict=True))
    n_groups = Counter(label for label, _ in pairs)
    enough = sum(n_groups[label] > AUTO_TURNS for label in labels.tolist())  # one for the test
    return AUTO_TURNS if len(labels) < FEW_PRODUCTS and enough > len(labels) / 2 else 1


class SplitPart(NamedTuple):
    """A part of a split: its share of each class's products, and the groups that it needs."""

    share: float
    min_groups: int  # of each class, where the class has enough groups


def stratified_group_split(
    groups: np.ndarray, labels: np.ndarray, parts: Sequence[SplitPart], salt: str
) -> np.ndarray:
    """Return the index of the part that each product is in, as an int array of shape (n,).

    `groups` and `labels` are arrays of str of shape (n,). Groups stay whole. They are assigned one
    by one, the largest first, each to the part that is furthest from its share (by chi-square). If
    groups have the same size and classes, the hashes of `salt` and their names say which goes to
    which part. So most products stay in their part when the catalogue grows.
    """
    # scikit-learn's StratifiedGroupKFold has no unequal shares. It also leaves a small class out of
    # a fold even if the class has a group for each fold.
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    for group, label in zip(groups.tolist(), labels.tolist(), strict=True):
        classes[group][label] += 1
    groups_of: dict[Mix, list[str]] = defaultdict(list)
    for group, sizes in classes.items():
        groups_of[tuple(sorted(sizes.items()))].append(group)
    assignment = _Assignment(groups_of, parts, salt)
    part_of: dict[str, int] = {}
    for mix in sorted(groups_of, key=lambda mix: (-sum(size for _, size in mix), -len(mix), mix)):
        chosen = sorted(assignment.assign(mix) for _ in groups_of[mix])
        names = sorted(groups_of[mix], key=lambda name: _hash(salt, name))
        part_of.update(zip(names, chosen, strict=True))
    return np.array([part_of[group] for group in groups.tolist()], dtype=np.int64)


class _Assignment:
    """What each part has of each class so far, and the groups that are not assigned yet."""

    def __init__(
        self, groups_of: Mapping[Mix, Sequence[str]], parts: Sequence[SplitPart], salt: str
    ) -> None:
        """Take the groups by their mix of classes, and the arguments of stratified_group_split."""
        products: Counter[str] = Counter()
        self.remaining: Counter[str] = Counter()  # groups, by class
        for mix, names in groups_of.items():
            for label, size in mix:
                products[label] += size * len(names)
                self.remaining[label] += len(names)
        self.min_groups = [part.min_groups for part in parts]
        self.wanted = {label: [part.share * n for part in parts] for label, n in products.items()}
        self.assigned = {label: [0] * len(parts) for label in products}
        self.groups = {label: [0] * len(parts) for label in products}
        # For parts that are equally far from their share: another order for each class, or else
        # the first part would get the remainder of each class.
        self.order = {
            label: [_hash(salt, f"{part}:{label}") for part in range(len(parts))]
            for label in products
        }

    def assign(self, mix: Mix) -> int:
        """Assign one group with these classes, and return the index of its part."""
        candidates = set(range(len(self.min_groups)))
        for label, _ in mix:
            candidates = (candidates & self._in_need(label)) or candidates
        first = mix[0][0]
        part = min(candidates, key=lambda part: (self._cost(mix, part), self.order[first][part]))
        for label, size in mix:
            self.assigned[label][part] += size
            self.groups[label][part] += 1
            self.remaining[label] -= 1
        return part

    def _in_need(self, label: str) -> set[int]:
        """Return the parts that must get a class's next group; none if groups are not scarce."""
        lacks = [
            max(0, n - has) for n, has in zip(self.min_groups, self.groups[label], strict=True)
        ]
        if sum(lacks) < self.remaining[label]:
            return set()
        in_need = {part for part, lack in enumerate(lacks) if lack}
        return {part for part in in_need if not self.groups[label][part]} or in_need

    def _cost(self, mix: Mix, part: int) -> float:
        """Return by how much the chi-square of the group's classes grows if the part gets it."""
        return sum(
            size
            * (size - 2 * (self.wanted[label][part] - self.assigned[label][part]))
            / self.wanted[label][part]
            for label, size in mix
        )


def check_no_leak(splits: Splits) -> None:
    """Raise InputError where a group is in two parts of one fold."""
    _, first, group_id = np.unique(splits.groups, return_index=True, return_inverse=True)
    first_row = first[group_id]
    differs = (splits.roles != splits.roles[first_row]) | (splits.turns != splits.turns[first_row])
    if differs.any():
        row, fold = np.argwhere(differs)[0]
        one, other = (part_name(*_part(splits, i, fold)) for i in (first_row[row], row))
        raise InputError(
            f"split: the group of product {splits.groups[row]} is in both {one} and {other} of "
            f"fold {fold + 1}: near-duplicates must be on one side"
        )


def missing_classes(splits: Splits) -> dict[str, dict[str, int | list[str]]]:
    """Return the classes that train, validation or test lacks in any fold or turn of validation.

    Each class comes with the number of its groups and the roles that lack it, in alphabetical
    order.
    """
    parts_of_fold = [set(_parts(splits, fold)) for fold in range(splits.n_folds)]
    missing: dict[str, dict[str, int | list[str]]] = {}
    order = np.argsort(splits.labels, kind="stable")
    labels, starts = np.unique(splits.labels[order], return_index=True)
    for label, rows in zip(labels.tolist(), np.split(order, starts[1:]), strict=True):
        lacking: set[str] = set()
        for fold, parts in enumerate(parts_of_fold):
            found = set(_parts(splits, fold, rows))
            lacking |= {role for role, _ in parts - found}
            # A class that is in one turn only is not trained on in that turn.
            if (TRAIN, 0) not in parts and len(found - {(TEST, 0)}) < 2:
                lacking.add(TRAIN)
        if lacking:
            n_groups = len(set(splits.groups[rows].tolist()))
            missing[label] = {"groups": n_groups, "lacking_in": sorted(lacking)}
    return missing


def unit_name(settings: SplitSettings) -> str:
    """Return how messages name what a class needs enough of to be in every part."""
    if settings.strategy == "stratified":
        return "products"
    *shared, last = ["image", "name", "description", *settings.group_by]
    return f"groups of products with one {', '.join(shared)} or {last}"


def part_name(role: str, turn: int) -> str:
    """Return how messages and metrics name a role and turn, such as "validation turn 2"."""
    return f"{role} turn {turn}" if turn else role


def _part(splits: Splits, row: int, fold: int) -> Part:
    return str(splits.roles[row, fold]), int(splits.turns[row, fold])


def _parts(splits: Splits, fold: int, rows: slice | np.ndarray = slice(None)) -> list[Part]:
    """Return the role and turn of some products in a fold, which counts from 0 here."""
    roles, turns = splits.roles[rows, fold].tolist(), splits.turns[rows, fold].tolist()
    return list(zip(roles, turns, strict=True))


def _check_parts(splits: Splits, n_turns: int, settings: SplitSettings) -> None:
    """Raise InputError unless every part has products and every training part two classes."""
    pairs = set(zip(splits.labels.tolist(), splits.groups.tolist(), strict=True))
    n_groups = Counter(label for label, _ in pairs)
    smallest = min(sorted(n_groups), key=lambda label: n_groups[label])
    is_grouped = settings.strategy == "grouped"
    ways = {
        "take fewer split.folds": settings.folds > 1,
        "take fewer split.validation_folds": n_turns > 1,
        "empty split.group_by": bool(settings.group_by),
        "leave out a column of boilerplate (as data.table.description: null)": is_grouped,
        "take split.strategy: stratified": is_grouped,
    }
    fix = f"too few {unit_name(settings)} (of the class {smallest}: {n_groups[smallest]:,}); " + (
        " or ".join(way for way, helps in ways.items() if helps) or "give more products"
    )
    held_out: list[Part] = [(VALIDATION, turn) for turn in range(1, n_turns + 1)]
    if n_turns == 1:
        held_out = [(VALIDATION, 0)]
    needed = [(TEST, 0), *held_out, *([(TRAIN, 0)] if n_turns == 1 else [])]
    for fold in range(splits.n_folds):
        parts = _parts(splits, fold)
        for part in needed:
            if part not in parts:
                raise InputError(
                    f"split: no products are left for {part_name(*part)} in fold {fold + 1}: {fix}"
                )
        for part in held_out:
            trained = {
                label
                for label, found in zip(splits.labels.tolist(), parts, strict=True)
                if found not in ((TEST, 0), part)
            }
            if len(trained) < 2:
                raise InputError(
                    f"split: fold {fold + 1} trains only on {', '.join(sorted(trained))}: {fix}"
                )


def _hash(salt: str, name: str) -> bytes:
    return hashlib.sha256(f"{salt}:{name}".encode()).digest()
