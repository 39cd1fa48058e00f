"""What metrics/split.json says of a split: groups, sizes, and near-duplicates that leak."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.catalog.group_split import missing_classes, part_name
from stages.catalog.near_duplicates import Signal
from stages.common.splits import TEST, Splits, is_training_part

N_NAMES = 5  # names of the largest group


def split_metrics(
    splits: Splits,
    ungrouped: Splits,
    group_ids: np.ndarray,
    names: Sequence[str],
    signals: Mapping[str, Signal],
) -> dict[str, Any]:
    """Return the content of metrics/split.json.

    `ungrouped` is the split that ignores near-duplicates. `group_ids` has shape (n,) and names each
    product's group, whichever strategy the split has; `names` has one entry per product; `signals`
    has the near-duplicates by each signal.
    """
    return {
        "products": len(splits.skus),
        "groups": describe_groups(group_ids, splits.skus, names),
        "products_with_signal": {name: signal.n_usable for name, signal in signals.items()},
        "parts": part_sizes(splits),
        "test_products_with_a_near_duplicate_in_training": {
            "this_split": count_leaks(signals, splits),
            "stratified": count_leaks(signals, ungrouped),
        },
        "classes_not_in_every_part": missing_classes(splits),
    }


def describe_groups(groups: np.ndarray, skus: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Return the number of groups, and the largest group: its size and its first products' names.

    All have one entry per product. Of equally large groups, take the first by name.
    """
    sizes = Counter(groups.tolist())
    largest = min(sizes, key=lambda group: (-sizes[group], group))
    members = sorted(
        (sku, name)
        for sku, name, group in zip(skus.tolist(), names, groups.tolist(), strict=True)
        if group == largest
    )
    return {
        "all": len(sizes),
        "of_two_or_more": sum(size > 1 for size in sizes.values()),
        "products_in_those": sum(size for size in sizes.values() if size > 1),
        "largest": {"products": sizes[largest], "names": [name for _, name in members[:N_NAMES]]},
    }


def part_sizes(splits: Splits) -> dict[str, dict[str, int]]:
    """Return the number of products by fold and part; a turn of validation is a part."""
    return {
        f"fold_{fold}": {
            part_name(role, turn): size
            for (role, turn), size in sorted(
                Counter(zip(roles.tolist(), turns.tolist(), strict=True)).items()
            )
        }
        for fold, (roles, turns) in enumerate(zip(splits.roles.T, splits.turns.T, strict=True), 1)
    }


def count_leaks(signals: Mapping[str, Signal], splits: Splits) -> dict[str, float | int]:
    """Count the test products that have a near-duplicate among those that a model is fitted on.

    All folds are counted together. Returns the number of test products, how many have a
    near-duplicate by any signal, their share, and how many by each signal.
    """
    is_test = splits.roles == TEST  # like the others, of shape (n, folds)
    is_fitted = is_training_part(splits.roles, splits.turns)
    leaks = {}
    for signal, (numbers, _) in signals.items():
        fitted = [np.isin(numbers, numbers[column]) for column in is_fitted.T]
        leaks[signal] = is_test & np.stack(fitted, axis=1)
    tested = int(is_test.sum())
    leaking = int(np.any(list(leaks.values()), axis=0).sum())
    return {
        "test_products": tested,
        "any": leaking,
        "share": round(leaking / tested, 4),
        **{signal: int(leak.sum()) for signal, leak in leaks.items()},
    }
