"""Deal whole groups of products out, each class's products in shares as near as groups allow."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import ceil
from typing import NamedTuple

from stages.catalog.settings import SplitSettings, test_share
from stages.common.errors import InputError

Mix = tuple[tuple[str, int], ...]  # a group's products by class


def folds_of(
    groups: Sequence[str], labels: Sequence[str], split: SplitSettings, seed: int
) -> list[list[str]]:
    """Return what each product is for in each fold, as tables.SPLITS has it.

    `groups` and `labels` have one entry per product, shape (n,); a group of one is named by it.
    Which parts a group goes to depends on the seed, its name and the sizes of the groups of its
    classes, and not on the order of rows.

    Raises InputError where a part of a fold would have no products at all, or training one class.
    """
    turns = split.validation_folds
    # Of a class's groups, so many are needed beside those for testing.
    least = max(2, turns)
    if split.folds == 1:
        hands = [Hand(split.test, 1), Hand(1 - split.test, least)]
    else:
        hands = [Hand(1 / split.folds, ceil(least / (split.folds - 1)))] * split.folds
    for_test = deal(groups, labels, hands, f"{seed}")
    if turns == 1:
        names = ["validation", "train"]
        share = split.validation / (1 - test_share(split))
        hands = [Hand(share, 1), Hand(1 - share, 1)]
    else:
        names = [f"validation-{turn}" for turn in range(1, turns + 1)]
        hands = [Hand(1 / turns, 1)] * turns
    parts: list[list[str]] = [[] for _ in groups]
    for fold in range(split.folds):
        rest = [at for at, place in enumerate(for_test) if place != fold]
        held_out = deal(
            [groups[at] for at in rest],
            [labels[at] for at in rest],
            hands,
            f"{seed}:{fold}",
        )
        name_of = {at: names[place] for at, place in zip(rest, held_out, strict=True)}
        for at, product in enumerate(parts):
            product.append(name_of.get(at, "test"))
    _check_parts(groups, labels, parts, ["test", *names])
    return parts


class Hand(NamedTuple):
    """What is wanted for a hand: a share of each class's products, and some of its groups."""

    share: float
    least: int  # groups of each class, where there are enough


def deal(
    groups: Sequence[str], labels: Sequence[str], hands: Sequence[Hand], salt: str
) -> list[int]:
    """Return the hand that each product is dealt to, from 0.

    `groups` and `labels` have one entry per product, shape (n,). Whole groups are dealt, the
    largest first, each to the hand that is then furthest from its share (by chi-square). Of groups
    that are alike in size and classes, the hashes of `salt` and name say which goes where, so that
    a catalogue that grows keeps most products where they were.
    """
    # scikit-learn's StratifiedGroupKFold has no unequal shares, and leaves a small class out of a
    # fold although its groups would do for all of them.
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    for group, label in zip(groups, labels, strict=True):
        classes[group][label] += 1
    alike: dict[Mix, list[str]] = defaultdict(list)
    for group, sizes in classes.items():
        alike[tuple(sorted(sizes.items()))].append(group)
    table = _Table(alike, hands, salt)
    hand_of: dict[str, int] = {}
    for mix in sorted(alike, key=lambda mix: (-sum(size for _, size in mix), -len(mix), mix)):
        chosen = sorted(table.give(mix) for _ in alike[mix])
        names = sorted(alike[mix], key=lambda name: _hash(salt, name))
        hand_of.update(zip(names, chosen, strict=True))
    return [hand_of[group] for group in groups]


class _Table:
    """What each hand has so far of each class, and what is still to be dealt."""

    def __init__(
        self, alike: Mapping[Mix, Sequence[str]], hands: Sequence[Hand], salt: str
    ) -> None:
        """Take the groups by their mix of classes; hands and salt are those of `deal`."""
        sizes: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()  # groups
        for mix, names in alike.items():
            for label, size in mix:
                sizes[label] += size * len(names)
                self.waiting[label] += len(names)
        self.least = [hand.least for hand in hands]
        self.wanted = {label: [hand.share * n for hand in hands] for label, n in sizes.items()}
        self.dealt = {label: [0] * len(hands) for label in sizes}
        self.groups = {label: [0] * len(hands) for label in sizes}
        # Of hands that are equally far from their share: an order for each class, or else the first
        # hand would get every class's remainder.
        self.order = {
            label: [_hash(salt, f"{hand}:{label}") for hand in range(len(hands))] for label in sizes
        }

    def give(self, mix: Mix) -> int:
        """Deal a group: return the hand that it goes to."""
        open_to = set(range(len(self.least)))
        for label, _ in mix:
            open_to = (open_to & self._in_need(label)) or open_to
        first = mix[0][0]
        hand = min(open_to, key=lambda hand: (self._cost(mix, hand), self.order[first][hand]))
        for label, size in mix:
            self.dealt[label][hand] += size
            self.groups[label][hand] += 1
            self.waiting[label] -= 1
        return hand

    def _in_need(self, label: str) -> set[int]:
        """Return the hands that must get a class's next group: none unless groups run short."""
        lacks = [max(0, n - has) for n, has in zip(self.least, self.groups[label], strict=True)]
        if sum(lacks) < self.waiting[label]:
            return set()
        in_need = {hand for hand, lack in enumerate(lacks) if lack}
        return {hand for hand in in_need if not self.groups[label][hand]} or in_need

    def _cost(self, mix: Mix, hand: int) -> float:
        """Return by how much the chi-square of a group's classes grows if the hand takes it."""
        return sum(
            size
            * (size - 2 * (self.wanted[label][hand] - self.dealt[label][hand]))
            / self.wanted[label][hand]
            for label, size in mix
        )


def check_no_leak(groups: Sequence[str], parts: Sequence[Sequence[str]]) -> None:
    """Raise InputError where a group is in two parts of one fold.

    `groups` and `parts` have one entry per product, and `parts` has one part per fold in each.
    """
    seen: dict[str, Sequence[str]] = {}
    for group, product in zip(groups, parts, strict=True):
        first = seen.setdefault(group, product)
        for fold, (one, other) in enumerate(zip(first, product, strict=True), 1):
            if one != other:
                raise InputError(
                    f"split: the group of product {group} is in both {one} and {other} of fold "
                    f"{fold}: near-duplicates must be on one side"
                )


def classes_not_everywhere(
    groups: Sequence[str], labels: Sequence[str], parts: Sequence[Sequence[str]]
) -> dict[str, dict[str, int | list[str]]]:
    """Return the classes that training, validation or test lacks in any fold or turn of validation.

    Takes what `check_no_leak` takes and labels. Each class comes with the number of its groups and
    the parts that lack it, in alphabetical order.
    """
    groups_of: dict[str, set[str]] = defaultdict(set)
    held: dict[str, list[set[str]]] = {}
    names: list[set[str]] = [set() for _ in parts[0]]
    for group, label, product in zip(groups, labels, parts, strict=True):
        groups_of[label].add(group)
        for fold, part in enumerate(product):
            held.setdefault(label, [set() for _ in product])[fold].add(part)
            names[fold].add(part)
    found: dict[str, dict[str, int | list[str]]] = {}
    for label in sorted(held):
        lacking: set[str] = set()
        for has, there in zip(held[label], names, strict=True):
            lacking |= {part.partition("-")[0] for part in there - has}
            if "train" not in there and len(has - {"test"}) < 2:  # its one turn is no training
                lacking.add("train")
        if lacking:
            found[label] = {"groups": len(groups_of[label]), "lacking_in": sorted(lacking)}
    return found


def trained_on(part: str) -> bool:
    """Return whether the model that is tested was fitted on a part: all but test and validation."""
    return part not in ("test", "validation")


def _check_parts(
    groups: Sequence[str],
    labels: Sequence[str],
    parts: Sequence[Sequence[str]],
    names: Sequence[str],
) -> None:
    """Raise InputError unless every part has products and every training part two classes."""
    few = Counter(label for label, _ in set(zip(labels, groups, strict=True)))
    smallest = min(sorted(few), key=lambda label: few[label])
    mend = (
        f"too few groups of products that stay together (of the class {smallest}: "
        f"{few[smallest]:,}); take fewer split.folds or split.validation_folds, an empty "
        f"split.group_by or split.strategy: stratified"
    )
    for fold, column in enumerate(zip(*parts, strict=True), 1):
        for name in names:
            if name not in column:
                raise InputError(f"split: no products are left for {name} in fold {fold}: {mend}")
        turns = [name for name in names if name.startswith("validation-")] or ["validation"]
        for turn in turns:
            classes = {
                label
                for label, part in zip(labels, column, strict=True)
                if part not in ("test", turn)
            }
            if len(classes) < 2:
                raise InputError(
                    f"split: fold {fold} trains on {', '.join(sorted(classes))} alone: {mend}"
                )


def _hash(salt: str, name: str) -> bytes:
    return hashlib.sha256(f"{salt}:{name}".encode()).digest()
