"""What `split` prints: classes that a part lacks, a group that is large, the sizes of the parts."""

from collections.abc import Iterator, Mapping
from typing import Any

from stages.catalog.group_split import unit_name
from stages.catalog.settings import SplitSettings
from stages.common.splits import TEST, TRAIN, VALIDATION, Splits

SHOWN = 5  # classes with too few groups that are named
LARGE = 0.2  # the share of all products from which on a group distorts the sizes of parts


def split_in_words(
    metrics: Mapping[str, Any], splits: Splits, settings: SplitSettings
) -> Iterator[str]:
    """Yield lines on a split, of which metrics/split.json has `metrics`."""
    lacking = metrics["classes_not_in_every_part"]
    for label, found in list(lacking.items())[:SHOWN]:
        yield _missing_in_words(label, found, splits, settings)
    if len(lacking) > SHOWN:
        yield f"and {len(lacking) - SHOWN:,} more classes: metrics/split.json has them all"
    largest, total = metrics["groups"]["largest"], metrics["products"]
    if settings.strategy == "grouped" and largest["products"] > max(1, LARGE * total):
        first, *_, last = largest["names"]
        yield (
            f"{largest['products']:,} of {total:,} products are one group and stay in one part, as "
            f"{first} and {last}: if they are not alike, leave out a column of boilerplate (as "
            f"data.table.description: null){' or empty split.group_by' * bool(settings.group_by)}"
        )
    for fold, sizes in metrics["parts"].items():
        yield f"{fold}: " + ", ".join(f"{n:,} for {part}" for part, n in sizes.items())


def _missing_in_words(
    label: str, found: Mapping[str, Any], splits: Splits, settings: SplitSettings
) -> str:
    """Say of one of `missing_classes` what lacks it: the whole split, or some folds or turns."""
    takes_turns = bool(splits.turns.any())
    roles = splits.roles[splits.labels == label]
    present = set(roles.ravel().tolist())
    if takes_turns and VALIDATION in present:
        present.add(TRAIN)  # in the other turns, and in the end
    by_round: dict[str, list[str]] = {}
    for role in found["lacking_in"]:
        rounds = {"fold": splits.n_folds > 1, "turn": takes_turns and role != TEST}
        where = " or ".join(filter(rounds.get, rounds)) if role in present else ""
        by_round.setdefault(where, []).append(role)
    parts = "; ".join(
        f"{f'in some {where} ' if where else ''}it is not in {', '.join(missing)}"
        for where, missing in sorted(by_round.items())
    )
    unit = unit_name(settings) if found["groups"] < len(roles) else "products"
    return f"{label} has too few {unit} ({found['groups']:,}) for every part: {parts}"
