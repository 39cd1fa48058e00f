"""Workbooks of spreadsheet programs: .xlsx, .xls and .ods.

They are read in a process of its own, with limited memory: a damaged workbook can ask for more
memory than there is, which would end the process without a word.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from stages.catalog.sources.readers.cell_text import to_text
from stages.catalog.sources.readers.columns import SEARCHED, check_columns, header_of
from stages.catalog.sources.readers.rows import Row, RowError
from stages.common.errors import InputError
from stages.common.file_content import open_bytes

_MAX_MEMORY = 8 << 30  # bytes

Cells = list[Any]
Cell = tuple[int, int]


def read_spreadsheet(path: Path, columns: Sequence[str], sheet: str | None = None) -> Iterator[Row]:
    """Yield the rows of a sheet: the one of that name, or the only one that has rows.

    A row's line is its number in the sheet.
    """
    header, rows = _read(path, columns, sheet)
    check_columns(path, header, columns)
    for number, (line, cells) in enumerate(rows, start=1):
        yield Row(number, dict(zip(header, cells, strict=False)), line)


def spreadsheet_columns(path: Path, wanted: Sequence[str], sheet: str | None = None) -> list[str]:
    """Return the header of a sheet."""
    return _read(path, wanted, sheet)[0]


def _read(
    path: Path, wanted: Sequence[str], sheet: str | None
) -> tuple[list[str], list[tuple[int, Cells]]]:
    """Return the header of a sheet, and the rows below that are not empty, each with its line."""
    with open_bytes(path) as file:
        content = file.read()
    sheets = _read_in_process(path, content, sheet)
    lines = enumerate(_choose(path, sheets, sheet), start=1)
    filled = [(line, cells) for line, cells in lines if _is_filled(cells)]
    at, _ = header_of([list(map(str, cells)) for _, cells in filled[:SEARCHED]], wanted)
    return _header(path, filled[at][1] if filled else []), filled[at + 1 :]


def _is_filled(cells: Cells) -> bool:
    """Return whether a row has anything in it."""
    return any(cell != "" for cell in cells)


def _header(path: Path, cells: Cells) -> list[str]:
    try:
        return [to_text(cell) or "" for cell in cells]
    except RowError as error:
        raise InputError(f"{path}, header {error}") from None


def _choose(path: Path, sheets: dict[str, list[Cells]], sheet: str | None) -> list[Cells]:
    """Return the rows of the sheet to read; `sheets` has those of the sheets with rows."""
    if sheet is not None:
        return sheets[sheet]
    if len(sheets) > 1:
        raise InputError(
            f"{path} has several sheets with rows, {', '.join(map(repr, sheets))}: "
            f"name one in data.table.sheet"
        )
    return next(iter(sheets.values()), [])


def _read_in_process(path: Path, content: bytes, sheet: str | None) -> dict[str, list[Cells]]:
    """Return what `_read_sheets` does, run in another process."""
    with ProcessPoolExecutor(1, get_context("spawn"), _limit_process) as pool:
        try:
            found = pool.submit(_read_sheets, content, sheet).result()
        except BrokenProcessPool:
            found = "it is damaged, or its cells need more memory than there is"
    if isinstance(found, str):
        raise InputError(f"{path} cannot be read as a workbook: {found}")
    return found


def _limit_process() -> None:
    """Limit this process's memory where the system can, and drop what native code prints."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, resource.RLIM_INFINITY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _read_sheets(content: bytes, sheet: str | None) -> dict[str, list[Cells]] | str:
    """Return the rows by sheet: of all sheets that have rows, or of the one that is named.

    Return what is wrong instead if the workbook cannot be read.
    """
    from io import BytesIO

    from python_calamine import CalamineWorkbook, SheetTypeEnum

    try:
        workbook = CalamineWorkbook.from_filelike(BytesIO(content))
        names = [s.name for s in workbook.sheets_metadata if s.typ == SheetTypeEnum.WorkSheet]
        if sheet is not None and sheet not in names:
            there = ", ".join(map(repr, names))
            return f"it has no sheet {sheet!r} but {there}: correct data.table.sheet"
        chosen = names if sheet is None else [sheet]
        sheets = {name: workbook.get_sheet_by_name(name) for name in chosen}
        rows = {name: one.to_python(skip_empty_area=False) for name, one in sheets.items()}
        for name, one in sheets.items():
            _fill_merged(rows[name], one.merged_cell_ranges or [])
    except BaseException as error:  # its panics are no Exception
        return f"{error}: save it again, or as CSV"
    return {
        name: lines
        for name, lines in rows.items()
        if name == sheet or any(_is_filled(cells) for cells in lines)
    }


def _fill_merged(lines: Sequence[Cells], ranges: Sequence[tuple[Cell, Cell]]) -> None:
    """Write the value of merged cells into each row that they reach; the header stays as it is.

    Ranges are from the first cell to the last, both as row and column. Empty cells beside the rows
    may be merged too.
    """
    header = next((row for row, cells in enumerate(lines) if _is_filled(cells)), 0)
    for (top, column), (bottom, _) in ranges:
        for cells in lines[top + 1 : bottom + 1] if top > header else []:
            if _is_filled(cells) and column < len(cells):
                cells[column] = lines[top][column]
