"""What a reader yields for each row of its table."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


class RowError(ValueError):
    """A row or a cell cannot be read: `reason` says why, `fix` what the user can do.

    `sku` is that of the row, where it is known.
    """

    def __init__(self, reason: str, fix: str, sku: str | None = None) -> None:
        super().__init__(f"{reason}: {fix}")
        self.reason = reason
        self.fix = fix
        self.sku = sku


@dataclass(frozen=True)
class Row:
    """A row: its cells by column, or its fault if it cannot be read.

    `number` counts the rows from 1, without the header; `line` is the line of the file, where the
    file has lines.
    """

    number: int
    cells: Mapping[str, Any] = field(default_factory=dict)
    line: int | None = None
    fault: RowError | None = None

    @property
    def place(self) -> str:
        """Return where the row is, in words."""
        return f"row {self.number}" + (f" (line {self.line})" if self.line else "")


def with_inner(cells: dict[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    """Return the cells of a row, and those of columns that it has within others.

    A column `a.b` is what has the key `b` in the object under `a`, or in the objects of a list
    there, unless there is a cell `a.b`.
    """
    inner = ((name, _within(cells, name)) for name in columns if name not in cells)
    return cells | {name: cell for name, cell in inner if cell is not None}


def _within(value: Any, name: str) -> Any:
    """Return what is under the keys that a name joins by dots, None if it is not there.

    Of a list it is a list of what its objects have there.
    """
    for key in name.split("."):
        if isinstance(value, list):
            found = (one.get(key) for one in value if isinstance(one, dict))
            value = [one for cell in found for one in listed(cell) if one is not None] or None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def listed(cell: Any) -> list[Any]:
    """Return a list as it is, anything else as the only one of a list."""
    return cell if isinstance(cell, list) else [cell]


# Reads the file at a path, which must have these columns; a third argument may say how.
Reader = Callable[..., Iterator[Row]]
