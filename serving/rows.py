"""Products in whatever form they are given, as rows."""

import sys
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import pyarrow as pa

from serving.reading import KEYS
from stages.common.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Rows: TypeAlias = Union[Sequence[Mapping[str, Any]], "pd.DataFrame", pa.Table]


class TableRows(Sequence[dict[str, Any]]):
    """The rows of an Arrow table or a DataFrame, made when they are asked for."""

    def __init__(self, table: "pd.DataFrame | pa.Table", columns: Sequence[str]) -> None:
        names = list(_columns_of(table))
        places = [names.index(name) for name in columns]  # the first, of columns of one name
        self._table = table.iloc[:, places] if is_frame(table) else table.select(places)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._table)

    def __getitem__(self, chosen: Any) -> Any:
        """Return a row, or the rows of a slice."""
        if isinstance(chosen, int):
            return self[chosen : chosen + 1][0]
        if isinstance(self._table, pa.Table):
            return _rows(self._table[chosen])
        part = self._table.iloc[chosen].astype(object)
        return part.where(part.notna(), None).to_dict("records")


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of a table; a cell that Arrow cannot convert harms no other."""
    try:
        return table.to_pylist()
    except Exception:  # by the type: UnicodeDecodeError, OverflowError, ArrowInvalid
        names = table.column_names
        return [{name: _cell(table[name][row]) for name in names} for row in range(table.num_rows)]


def _cell(cell: pa.Scalar) -> Any:
    """Return a cell; the bytes of a text that is not UTF-8, and else itself, which no text is."""
    try:
        return cell.as_py()
    except UnicodeDecodeError:
        return cell.as_buffer().to_pybytes() if hasattr(cell, "as_buffer") else cell
    except Exception:
        return cell


def is_frame(table: Any) -> bool:
    """Return whether a table is a DataFrame, without importing pandas: that takes a second."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(table, pandas.DataFrame)


def _columns_of(table: Any) -> Sequence[Any]:
    return table.columns if is_frame(table) else table.column_names


def rows_of(products: Rows, inputs: Collection[str], fields: Sequence[str]) -> Sequence[Any]:
    """Return the rows of products in any form; a row may be anything.

    Raises InputError where a table has none of the columns that a model of `inputs`, image and
    text, reads, of the texts `fields`, and where `products` are no sequence of rows.
    """
    if isinstance(products, pa.Table) or is_frame(products):
        names = list(_columns_of(products))
        known = [key for key in KEYS if key in names]
        wanted = [*fields] * ("text" in inputs) + ["image"] * ("image" in inputs)
        if not set(known) & set(wanted):
            raise InputError(
                f"the table has the columns {', '.join(map(str, names)) or 'none'}, and the model "
                f"reads {', '.join(wanted)}: rename the columns"
            )
        return TableRows(products, known)
    if isinstance(products, Mapping | str | bytes) or not isinstance(products, Sequence):
        raise InputError(
            f"products are a {type(products).__name__}: give a list of mappings, a DataFrame or an "
            "Arrow table"
        )
    return list(products) if isinstance(products, deque) else products  # it has no slices
