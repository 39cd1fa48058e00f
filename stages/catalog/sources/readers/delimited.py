"""CSV and TSV.

They go through Python's own reader: unlike those of pandas and Arrow, it refuses stray quotes,
never guesses a type, and knows the line number.
"""

import csv
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from stages.catalog.sources.readers.cell_text import NOT_UTF8, is_unicode
from stages.catalog.sources.readers.columns import SEARCHED, check_columns, header_of
from stages.catalog.sources.readers.rows import Row, RowError
from stages.common.errors import InputError
from stages.common.file_content import open_text

_IN_QUOTES = (
    "a cell with a delimiter, quote or line break has to be in quotes, its own quotes doubled"
)
# What Excel writes and reads before the header: which delimiter the file has, whatever its name.
SEPARATOR_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?(?:\r\n|\r|\n)', re.IGNORECASE)


DELIMITERS = (",", ";", "\t", "|")
_LINES = 200  # that may hold the header and the rows above it


def read_csv(path: Path, columns: Sequence[str], encoding: str | None = None) -> Iterator[Row]:
    """Yield the rows of a file with commas between its cells, if its header has none else."""
    return _read(path, columns, encoding, ",")


def read_tsv(path: Path, columns: Sequence[str], encoding: str | None = None) -> Iterator[Row]:
    """Yield the rows of a file with tabs between its cells, if its header has none else."""
    return _read(path, columns, encoding, "\t")


def csv_columns(path: Path, wanted: Sequence[str], encoding: str | None = None) -> list[str]:
    """Return the header of a file with commas between its cells, if it has none else."""
    return _columns(path, wanted, encoding, ",")


def tsv_columns(path: Path, wanted: Sequence[str], encoding: str | None = None) -> list[str]:
    """Return the header of a file with tabs between its cells, if it has none else."""
    return _columns(path, wanted, encoding, "\t")


def _columns(path: Path, wanted: Sequence[str], encoding: str | None, usual: str) -> list[str]:
    with open_text(path, newline="", encoding=encoding) as file:
        return _read_header(path, _Lines(file), wanted, usual)[1]


class _Lines:
    """The lines of a file; those after the first line of a row can be read again."""

    def __init__(self, file: Iterable[str]) -> None:
        self.file = iter(file)
        self.again: deque[str] = deque()
        self.row: list[str] = []
        self.number = 0  # of the line that was read last

    def __iter__(self) -> Iterator[str]:
        """Return the lines."""
        return self

    def __next__(self) -> str:
        """Return the next line."""
        line = self.again.popleft() if self.again else next(self.file)
        self.row.append(line)
        self.number += 1
        return line

    def delimiter(self) -> str | None:
        """Return the delimiter that the first line names, and leave the line out; else None."""
        line = next(self, None)
        found = SEPARATOR_LINE.fullmatch(line or "")
        if found is None and line is not None:
            self.again.append(line)
            self.number -= 1
        return found[1] if found else None

    def ahead(self, count: int) -> list[str]:
        """Return the next lines, as many as there are, which stay to be read."""
        self.again.extend(islice(self.file, max(count - len(self.again), 0)))
        return list(self.again)

    def skip(self, count: int) -> None:
        """Leave lines out."""
        for _ in range(count):
            next(self)

    def start_row(self) -> int:
        """Return the number of the line with which a row starts: the next one."""
        self.row.clear()
        return self.number + 1

    def return_to_second(self) -> None:
        """Go back to the second line of the row: the row is over with its first."""
        self.again.extendleft(reversed(self.row[1:]))
        self.number -= len(self.row[1:])
        del self.row[1:]


def _read(path: Path, columns: Sequence[str], encoding: str | None, usual: str) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # or a description of more than 128 KiB is refused
    with open_text(path, newline="", encoding=encoding) as file:
        lines = _Lines(file)
        delimiter, header = _read_header(path, lines, columns, usual)
        check_columns(path, header, columns)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        number = n_blank = 0
        while True:
            line = lines.start_row()
            try:
                cells = next(reader, None)
                fault = _fault(len(cells), len(header)) if cells else None
            except csv.Error as error:
                cells, fault = [], _quote_fault(lines, delimiter, len(header), error)
            if cells is None:
                return
            if not cells and not fault:  # a blank line
                n_blank += 1
                continue
            if len(header) == 1:  # a blank line is an empty cell, but at the end of the file
                for at in range(line - n_blank, line):
                    number += 1
                    yield Row(number, {header[0]: ""}, at)
            n_blank = 0
            number += 1
            yield Row(number, dict(zip(header, cells, strict=False)), line, fault)


def _read_header(
    path: Path, lines: _Lines, wanted: Sequence[str], usual: str
) -> tuple[str, list[str]]:
    """Return the delimiter and the cells of the header, and leave the lines out until its end.

    The delimiter is the one that the first line names, else of several the one with which the
    header has the most of the wanted columns. The usual one goes before others that do no better,
    unless the header is a single cell with it.
    """
    named = lines.delimiter()
    delimiters = [named] if named else list(dict.fromkeys((usual, *DELIMITERS)))
    first = lines.ahead(_LINES)
    best, delimiter, header, end = (0, False), delimiters[0], list[str](), 0
    for one in delimiters:
        rows = _first_rows(first, one)
        at, count = header_of([cells for cells, _ in rows], wanted)
        score = (count, bool(rows) and len(rows[at][0]) > 1)
        if rows and (one == delimiters[0] or score > best):
            best, delimiter, (header, end) = score, one, rows[at]
    if not header:
        _raise_quote_error(path, first, delimiter)
    text = "".join(header)
    if not is_unicode(text) or "\0" in text:  # as in UTF-16 without its mark
        raise InputError(f"{path}, header is not UTF-8: {NOT_UTF8}")
    lines.skip(end)
    return delimiter, header


def _first_rows(lines: Iterable[str], delimiter: str) -> list[tuple[list[str], int]]:
    """Return the rows that are not blank until one is wrong, each with the number of its last line.

    They are not more than may be searched for the header.
    """
    rows = []
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    with suppress(csv.Error):
        for cells in reader:
            if cells:
                rows.append((cells, reader.line_num))
            if len(rows) == SEARCHED:
                break
    return rows


def _raise_quote_error(path: Path, lines: Iterable[str], delimiter: str) -> None:
    """Raise InputError where the quotes of the header are wrong, and not where there is none."""
    try:
        next(filter(None, csv.reader(lines, delimiter=delimiter, strict=True)), None)
    except csv.Error as error:
        raise InputError(f"{path}, header (line 1): {error}: {_IN_QUOTES}") from None


def _quote_fault(lines: _Lines, delimiter: str, n_columns: int, error: csv.Error) -> RowError:
    """Return why a row is refused whose quotes are wrong, and let the next row be the next line.

    Where quotes are not closed, the reader has taken lines after the row for a part of it.
    """
    if len(lines.row) == 1 and "end of data" not in str(error):
        return RowError(str(error), _IN_QUOTES)
    lines.return_to_second()
    n_cells = len(next(csv.reader(lines.row, delimiter=delimiter), []))
    short = f"short, {n_cells} cells for {n_columns} columns, and " if n_cells < n_columns else ""
    return RowError(f"{short}its last quote is not closed", _IN_QUOTES)


def _fault(n_cells: int, n_columns: int) -> RowError | None:
    """Return why a row of so many cells is refused, None if it is not."""
    cells = f"{n_cells} cells for {n_columns} columns"
    if n_cells < n_columns:
        return RowError(f"short, {cells}", "write the delimiters of empty cells too")
    return RowError(cells, _IN_QUOTES) if n_cells > n_columns else None
