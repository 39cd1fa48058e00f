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

    A column `a.b` is what has the key `b` in the object under `a`, unless there is a cell `a.b`.
    """
    inner = ((name, _within(cells, name)) for name in columns if name not in cells)
    return cells | {name: cell for name, cell in inner if cell is not None}


def _within(value: Any, name: str) -> Any:
    """Return what is under the keys that a name joins by dots, None if it is not there."""
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


# Reads the file at a path, which must have these columns; a third argument may say how.
Reader = Callable[..., Iterator[Row]]
