"""The columns that a table must have, and the row that names them."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from stages.common.errors import InputError

SEARCHED = 20  # rows that are not empty: a title, a date and the like may be above the header


def header_of(rows: Sequence[Sequence[str]], wanted: Iterable[str]) -> tuple[int, int]:
    """Return which of a table's first rows is its header, and how many wanted columns it has.

    It is the first row that has the most of them, so the first row of all where none has any.
    """
    names = set(wanted)
    counts = [len(names.intersection(row)) for row in rows[:SEARCHED]]
    best = max(counts, default=0)
    return (counts.index(best) if counts else 0), best


def check_columns(path: Path, found: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise InputError where a column is missing, or where two have its name."""
    found = list(found)
    for name in wanted:
        if name not in found:
            raise InputError(
                f"{path} has no column {name!r}; it has {_listed(found)}: "
                f"correct the names under data.table"
            )
        if found.count(name) > 1:
            raise InputError(f"{path} has {found.count(name)} columns {name!r}: rename one")


def _listed(found: Collection[str]) -> str:
    return ", ".join(map(repr, found)) or "none"
