"""What the metrics of a split count."""

import numpy as np

from stages.catalog.near_duplicates import Signal, group_equal
from stages.catalog.split_metrics import count_leaks, part_sizes
from stages.common.splits import Splits


def signal_of(values: str) -> Signal:
    return Signal(group_equal(list(values)), len(values))


def splits_of(roles, turns=None) -> Splits:
    skus = np.array([f"{i}" for i in range(len(roles))])
    roles = np.array(roles)
    turns = np.zeros(roles.shape, dtype=np.int32) if turns is None else np.array(turns)
    return Splits(skus, skus, skus, roles, turns)


def test_a_leak_is_counted_once_for_each_product_and_once_for_each_signal():
    signals = {"image": signal_of("aabb"), "name": signal_of("aacd")}
    roles = [["test", "train"], ["train", "test"], ["validation", "test"], ["test", "validation"]]
    assert count_leaks(signals, splits_of(roles)) == {
        "test_products": 4,
        "any": 2,
        "share": 0.5,
        "image": 2,
        "name": 2,
    }


def test_a_near_duplicate_in_a_turn_of_validation_leaks_as_the_model_is_fitted_on_it():
    signals = {"image": signal_of("aabb")}
    splits = splits_of([["test"], ["validation"], ["test"], ["test"]], [[0], [2], [0], [0]])
    assert count_leaks(signals, splits)["any"] == 1


def test_parts_are_counted_by_fold_and_turn():
    roles = [["test", "validation"], ["validation", "test"], *[["validation", "validation"]] * 2]
    turns = [[0, 2], [10, 0], [2, 1], [2, 1]]
    assert part_sizes(splits_of(roles, turns)) == {
        "fold_1": {"test": 1, "validation turn 2": 2, "validation turn 10": 1},
        "fold_2": {"test": 1, "validation turn 1": 2, "validation turn 2": 1},
    }
