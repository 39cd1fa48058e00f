"""How products are assigned to training, validation and test."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.catalog.group_split import (
    assign_folds,
    check_no_leak,
    missing_classes,
)
from stages.catalog.settings import SplitSettings
from stages.catalog.split_summary import split_in_words
from stages.common.errors import InputError
from stages.common.splits import Splits

SIZES = {"Appliances": 331, "Audio": 99, "Toys": 13, "Cables": 10, "Wearables": 7}
SKUS = [f"{label}-{n:03}" for label, size in SIZES.items() for n in range(size)]
LABELS = [sku.rpartition("-")[0] for sku in SKUS]
FAMILIES = [f"{label}-{int(sku[-3:]) // 4}" for sku, label in zip(SKUS, LABELS, strict=True)]


def settings_of(**changed) -> SplitSettings:
    defaults = {
        "strategy": "grouped",
        "group_by": [],
        "folds": 1,
        "test": 0.2,
        "validation_folds": 1,
        "validation": 0.1,
    }
    return SplitSettings(**(defaults | changed))


def split(groups, labels, seed=42, **changed) -> Splits:
    skus = np.array([f"{i}" for i in range(len(groups))])
    return assign_folds(skus, np.array(labels), np.array(groups), settings_of(**changed), seed)


def splits_of(groups, labels, parts) -> Splits:
    """Return the splits with these (role, turn) by product and fold."""
    roles = np.array([[role for role, _ in product] for product in parts])
    turns = np.array([[turn for _, turn in product] for product in parts], dtype=np.int32)
    return Splits(np.array(groups), np.array(labels), np.array(groups), roles, turns)


def assigned(splits):
    """Return, for each product, its role and turn in each fold."""
    return [
        tuple(zip(roles, turns, strict=True))
        for roles, turns in zip(splits.roles.tolist(), splits.turns.tolist(), strict=True)
    ]


def sizes_of(splits):
    """Return {label: {role: size}} of the first fold."""
    labels, roles = splits.labels.tolist(), splits.roles[:, 0].tolist()
    counts = Counter(zip(labels, roles, strict=True))
    return {
        label: {role: counts[label, role] for role in ("train", "validation", "test")}
        for label in dict.fromkeys(labels)
    }


def test_each_class_has_its_shares_in_each_part():
    assert sizes_of(split(SKUS, LABELS)) == {
        "Appliances": {"train": 232, "validation": 33, "test": 66},
        "Audio": {"train": 69, "validation": 10, "test": 20},
        "Toys": {"train": 9, "validation": 1, "test": 3},
        "Cables": {"train": 7, "validation": 1, "test": 2},
        "Wearables": {"train": 5, "validation": 1, "test": 1},
    }


def test_groups_stay_whole_and_shares_are_near():
    splits = split(FAMILIES, LABELS)
    check_no_leak(splits)
    sizes = sizes_of(splits)
    for label, wanted in sizes_of(split(SKUS, LABELS)).items():
        for role in wanted:
            assert abs(sizes[label][role] - wanted[role]) <= 4, (label, role)


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.integers(1, 9), min_size=3, max_size=8), min_size=2, max_size=8),
    st.floats(0.01, 0.98),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32 - 1),
)
def test_a_class_of_three_groups_is_in_every_part_whatever_the_shares(classes, test, rest, seed):
    groups, labels = [], []
    for label, sizes in enumerate(classes):
        for number, size in enumerate(sizes):
            groups += [f"{label}-{number}"] * size
            labels += [str(label)] * size
    splits = split(groups, labels, seed=seed, test=test, validation=(1 - test) * rest)
    check_no_leak(splits)
    assert missing_classes(splits) == {}
    for counts in sizes_of(splits).values():
        assert min(counts.values()) >= 1


@pytest.mark.parametrize("groups", [SKUS, FAMILIES], ids=["products", "families"])
@pytest.mark.parametrize("turns", [1, 3])
def test_with_folds_each_product_is_tested_once(groups, turns):
    splits = split(groups, LABELS, folds=4, validation_folds=turns)
    assert ((splits.roles == "test").sum(axis=1) == 1).all()
    check_no_leak(splits)
    others = {("train", 0), ("validation", 0)}
    if turns > 1:
        others = {("validation", turn) for turn in (1, 2, 3)}
    for column in zip(*assigned(splits), strict=True):
        assert set(column) == {("test", 0), *others}
        assert abs(column.count(("test", 0)) - len(SKUS) / 4) <= 12


def test_the_last_parts_of_a_class_are_not_all_in_one_fold():
    labels = [str(n // 5) for n in range(200)]  # 40 classes of 5, in 4 folds: one product is over
    groups = [str(n) for n in range(200)]
    assert (split(groups, labels, folds=4).roles == "test").sum(axis=0).max() < 65


def test_the_order_of_rows_does_not_matter():
    rows = list(zip(FAMILIES, LABELS, strict=True))
    wanted = dict(zip(FAMILIES, assigned(split(FAMILIES, LABELS, folds=3)), strict=True))
    random.Random(1).shuffle(rows)
    groups, labels = zip(*rows, strict=True)
    assert assigned(split(groups, labels, folds=3)) == [wanted[group] for group in groups]


def test_another_seed_gives_another_split_of_the_same_sizes():
    one, other = (split(SKUS, LABELS, seed=seed) for seed in (1, 2))
    assert assigned(one) != assigned(other)
    assert sizes_of(one) == sizes_of(other)


def test_neighbours_in_the_catalogue_are_in_different_parts():
    roles = split(SKUS, LABELS).roles[: SIZES["Appliances"], 0].tolist()
    for start in range(0, 300, 60):
        assert {"train", "test"} <= set(roles[start : start + 60])


def test_a_new_class_and_a_few_new_products_move_few():
    before = dict(zip(SKUS, assigned(split(SKUS, LABELS)), strict=True))
    skus = [*SKUS, *(f"Audio-{n}" for n in range(200, 210)), *(f"New-{n}" for n in range(9))]
    labels = [sku.rpartition("-")[0] for sku in skus]
    after = dict(zip(skus, assigned(split(skus, labels)), strict=True))
    moved = [sku for sku in SKUS if before[sku] != after[sku]]
    assert all(sku.startswith("Audio") for sku in moved)
    assert len(moved) < 20


def test_a_class_in_one_group_is_trained_on_and_one_in_two_is_tested_as_well():
    groups = [*SKUS, *["one"] * 8, *["two-a"] * 5, *["two-b"] * 5]
    labels = [*LABELS, *["One"] * 8, *["Two"] * 10]
    splits = split(groups, labels)
    assert set(splits.roles[splits.groups == "one", 0]) == {"train"}
    assert set(splits.roles[splits.labels == "Two", 0]) == {"train", "test"}
    assert missing_classes(splits) == {
        "One": {"groups": 1, "lacking_in": ["test", "validation"]},
        "Two": {"groups": 2, "lacking_in": ["validation"]},
    }


def test_a_class_that_is_held_out_whole_in_a_turn_is_said_not_to_be_trained_on():
    parts = [[("test", 0)], [("validation", 1)], [("validation", 1)], [("validation", 2)]]
    assert missing_classes(splits_of(["a", "b", "c", "d"], ["A", "A", "B", "B"], parts)) == {
        "A": {"groups": 2, "lacking_in": ["train", "validation"]},
        "B": {"groups": 2, "lacking_in": ["test"]},
    }


def test_a_class_that_is_tested_alone_is_said_to_be_in_no_turn():
    parts = [[("test", 0)], [("test", 0)], [("validation", 1)], [("validation", 2)]]
    splits = splits_of([*"abcd"], [*"ABBB"], parts)
    metrics = {
        "classes_not_in_every_part": missing_classes(splits),
        "groups": {"largest": {"products": 1}},
        "products": 4,
        "parts": {},
    }
    (line,) = split_in_words(metrics, splits, settings_of(validation_folds=2))
    assert line.endswith("for every part: it is not in train, validation")


def test_a_group_on_two_sides_is_caught():
    splits = split(FAMILIES, LABELS, folds=3)
    check_no_leak(splits)
    leaking = FAMILIES.index("Toys-1")
    fold = splits.roles[leaking].tolist().index("test")
    splits.roles[leaking, fold] = "train"
    with pytest.raises(
        InputError, match=rf"Toys-1 is in both (train and test|test and train) of fold {fold + 1}"
    ):
        check_no_leak(splits)


def test_validation_takes_turns_where_products_are_few_and_groups_are_enough():
    small = split(FAMILIES, LABELS, validation_folds="auto")
    assert assigned(small) == assigned(split(FAMILIES, LABELS, validation_folds=5))
    # Most products are of a class with fewer groups than turns and test need.
    names = [f"class {i // 12}" for i in range(240)]
    assert not split([f"{i // 3}" for i in range(240)], names, validation_folds="auto").turns.any()
    few = split([*"aabbccddeeff"], [*"AAAAAABBBBBB"], validation_folds="auto")
    assert not few.turns.any()
    copies = range(5000 // len(LABELS) + 1)
    many = ([f"{name}-{copy}" for copy in copies for name in FAMILIES], LABELS * len(copies))
    assert not split(*many, validation_folds="auto").turns.any()


def test_a_group_in_two_turns_of_validation_is_caught():
    splits = split(FAMILIES, LABELS, validation_folds=3)
    check_no_leak(splits)
    leaking = FAMILIES.index("Toys-1")
    splits.roles[leaking] = "validation"
    splits.turns[leaking] = 1 + splits.turns[leaking] % 3
    with pytest.raises(InputError, match=r"Toys-1 is in both .* of fold 1"):
        check_no_leak(splits)


@pytest.mark.parametrize(
    ("groups", "labels", "folds", "message"),
    [
        ("aaaabbbb", "AAAABBBB", 1, "no products are left for test in fold 1"),
        ("aaaabcdefghi", "AAAABBBBBBBB", 3, "trains only on B"),
    ],
)
def test_what_cannot_be_split_names_a_class_and_the_fix(groups, labels, folds, message):
    with pytest.raises(InputError, match=message) as error:
        split(list(groups), list(labels), folds=folds)
    assert "groups of products with one image, name or description (of the class A: 1)" in str(
        error.value
    )
    assert "data.table.description: null) or take split.strategy: stratified" in str(error.value)
    assert ("fewer split.folds" in str(error.value)) == (folds > 1)
    assert "split.group_by" not in str(error.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"group_by": ["manufacturer"]},
            "too few groups of products with one image, name, description or manufacturer (of the "
            "class A: 1); empty split.group_by or ",
        ),
        (
            {"strategy": "stratified", "folds": 6},
            "too few products (of the class A: 1); take fewer split.folds",
        ),
        (
            {"strategy": "stratified", "validation_folds": 6},
            "too few products (of the class A: 1); take fewer split.validation_folds",
        ),
    ],
)
def test_what_cannot_be_split_says_what_its_settings_keep_together(changed, message):
    with pytest.raises(InputError) as error:
        split([*"abbb"], [*"ABBB"], **changed)
    assert message in str(error.value)
    assert ("stratified" in str(error.value)) == ("strategy" not in changed)
