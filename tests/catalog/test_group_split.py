"""How products are dealt out to training, validation and test."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.catalog.group_split import check_no_leak, classes_not_everywhere, folds_of
from stages.catalog.settings import SplitSettings
from stages.common.errors import InputError

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


def dealt(groups, labels, seed=42, **changed):
    return folds_of(groups, labels, settings_of(**changed), seed)


def sizes_of(labels, parts):
    """Return {label: {part: size}} of the first fold."""
    counts = Counter((label, part[0]) for label, part in zip(labels, parts, strict=True))
    return {
        label: {part: counts[label, part] for part in ("train", "validation", "test")}
        for label in dict.fromkeys(labels)
    }


def test_each_class_has_its_shares_in_each_part():
    assert sizes_of(LABELS, dealt(SKUS, LABELS)) == {
        "Appliances": {"train": 232, "validation": 33, "test": 66},
        "Audio": {"train": 69, "validation": 10, "test": 20},
        "Toys": {"train": 9, "validation": 1, "test": 3},
        "Cables": {"train": 7, "validation": 1, "test": 2},
        "Wearables": {"train": 5, "validation": 1, "test": 1},
    }


def test_groups_stay_whole_and_shares_are_near():
    parts = dealt(FAMILIES, LABELS)
    check_no_leak(FAMILIES, parts)
    sizes = sizes_of(LABELS, parts)
    for label, wanted in sizes_of(LABELS, dealt(SKUS, LABELS)).items():
        for part in wanted:
            assert abs(sizes[label][part] - wanted[part]) <= 4, (label, part)


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
    parts = dealt(groups, labels, seed=seed, test=test, validation=(1 - test) * rest)
    check_no_leak(groups, parts)
    assert classes_not_everywhere(groups, labels, parts) == {}
    for counts in sizes_of(labels, parts).values():
        assert min(counts.values()) >= 1


@pytest.mark.parametrize("groups", [SKUS, FAMILIES], ids=["products", "families"])
@pytest.mark.parametrize("turns", [1, 3])
def test_with_folds_each_product_is_tested_once(groups, turns):
    parts = dealt(groups, LABELS, folds=4, validation_folds=turns)
    assert all(product.count("test") == 1 for product in parts)
    check_no_leak(groups, parts)
    others = {"train", "validation"} if turns == 1 else {f"validation-{n}" for n in (1, 2, 3)}
    for column in zip(*parts, strict=True):
        assert set(column) == {"test", *others}
        assert abs(column.count("test") - len(SKUS) / 4) <= 12


def test_the_last_parts_of_a_class_are_not_all_in_one_fold():
    labels = [str(n // 5) for n in range(200)]  # 40 classes of 5, in 4 folds: one product is over
    groups = [str(n) for n in range(200)]
    columns = zip(*dealt(groups, labels, folds=4), strict=True)
    assert max(column.count("test") for column in columns) < 65


def test_the_order_of_rows_does_not_matter():
    rows = list(zip(FAMILIES, LABELS, strict=True))
    wanted = dict(zip(FAMILIES, dealt(FAMILIES, LABELS, folds=3), strict=True))
    random.Random(1).shuffle(rows)
    groups, labels = zip(*rows, strict=True)
    assert dealt(groups, labels, folds=3) == [wanted[group] for group in groups]


def test_another_seed_gives_another_split_of_the_same_sizes():
    one, other = (dealt(SKUS, LABELS, seed=seed) for seed in (1, 2))
    assert one != other
    assert sizes_of(LABELS, one) == sizes_of(LABELS, other)


def test_neighbours_in_the_catalogue_are_dealt_out():
    parts = dealt(SKUS, LABELS)[: SIZES["Appliances"]]
    for start in range(0, 300, 60):
        assert {"train", "test"} <= {part for (part,) in parts[start : start + 60]}


def test_a_new_class_and_a_few_new_products_move_few():
    before = dict(zip(SKUS, dealt(SKUS, LABELS), strict=True))
    skus = [*SKUS, *(f"Audio-{n}" for n in range(200, 210)), *(f"New-{n}" for n in range(9))]
    after = dict(zip(skus, dealt(skus, [s.rpartition("-")[0] for s in skus]), strict=True))
    moved = [sku for sku in SKUS if before[sku] != after[sku]]
    assert all(sku.startswith("Audio") for sku in moved)
    assert len(moved) < 20


def test_a_class_in_one_group_is_trained_on_and_one_in_two_is_tested_as_well():
    groups = [*SKUS, *["one"] * 8, *["two-a"] * 5, *["two-b"] * 5]
    labels = [*LABELS, *["One"] * 8, *["Two"] * 10]
    parts = dealt(groups, labels)
    assert {part for group, (part,) in zip(groups, parts, strict=True) if group == "one"} == {
        "train"
    }
    assert {p for label, (p,) in zip(labels, parts, strict=True) if label == "Two"} == {
        "train",
        "test",
    }
    assert classes_not_everywhere(groups, labels, parts) == {
        "One": {"groups": 1, "lacking_in": ["test", "validation"]},
        "Two": {"groups": 2, "lacking_in": ["validation"]},
    }


def test_a_class_that_is_held_out_whole_in_a_turn_is_said_not_to_be_trained_on():
    groups, labels = ["a", "b", "c", "d"], ["A", "A", "B", "B"]
    parts = [["test"], ["validation-1"], ["validation-1"], ["validation-2"]]
    assert classes_not_everywhere(groups, labels, parts) == {
        "A": {"groups": 2, "lacking_in": ["train", "validation"]},
        "B": {"groups": 2, "lacking_in": ["test"]},
    }


def test_a_group_on_two_sides_is_caught():
    parts = dealt(FAMILIES, LABELS, folds=3)
    check_no_leak(FAMILIES, parts)
    leaking = FAMILIES.index("Toys-1")
    fold = parts[leaking].index("test")
    parts[leaking] = [*parts[leaking][:fold], "train", *parts[leaking][fold + 1 :]]
    with pytest.raises(InputError, match=rf"Toys-1 is in both .* of fold {fold + 1}"):
        check_no_leak(FAMILIES, parts)


@pytest.mark.parametrize(
    ("groups", "labels", "folds", "message"),
    [
        ("aaaabbbb", "AAAABBBB", 1, "no products are left for test in fold 1"),
        ("aaaabcdefghi", "AAAABBBBBBBB", 3, "trains on B alone"),
    ],
)
def test_what_cannot_be_split_names_a_class_and_the_mend(groups, labels, folds, message):
    with pytest.raises(InputError, match=message) as error:
        dealt(list(groups), list(labels), folds=folds)
    assert "of the class A: 1)" in str(error.value)
    assert "split.strategy: stratified" in str(error.value)
