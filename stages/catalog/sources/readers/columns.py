"""The columns that a table must have."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from stages.common.errors import InputError


def check_columns(path: Path, found: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise InputError where a column is missing, or where two have its name."""
    found = list(found)
    for name in wanted:
        if name not in found:
            raise InputError(
                f"{path} has no column {name!r}; it has {', '.join(map(repr, found)) or 'none'}: "
                f"correct the names under data.table"
                + ("; a .csv has commas between its cells" if _is_line(found) else "")
            )
        if found.count(name) > 1:
            raise InputError(f"{path} has {found.count(name)} columns {name!r}: rename one")


def _is_line(columns: Sequence[str]) -> bool:
    """Return whether the only column looks like a whole header with other separators."""
    return len(columns) == 1 and any(separator in columns[0] for separator in ",;|\t")
