"""The columns that a table must have."""

from collections.abc import Iterable
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
                + ("; a .csv has commas between its cells" if len(found) == 1 else "")
            )
        if found.count(name) > 1:
            raise InputError(f"{path} has {found.count(name)} columns {name!r}: rename one")
