"""CSV and TSV.

They go through Python's own reader: unlike those of pandas and Arrow, it refuses stray quotes, never
guesses a type, and knows the line number.
"""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stages.catalog.sources.readers.cell_text import is_unicode
from stages.catalog.sources.readers.columns import check_columns
from stages.common.errors import InputError


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Yield the rows of a file with commas between its cells."""
    return _read(path, columns, ",")


def read_tsv(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Yield the rows of a file with tabs between its cells."""
    return _read(path, columns, "\t")


def _read(path: Path, columns: Sequence[str], delimiter: str) -> Iterator[Mapping[str, str]]:
    number, line = 0, 1  # row 0 is the header
    # Keep bytes that are not UTF-8, so that the error can name their row.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        csv.field_size_limit(sys.maxsize)  # or a description of more than 128 KiB is refused
        lines = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(lines, [])
            if not is_unicode("".join(header)):
                raise InputError(f"{path}, header is not UTF-8: save the file as UTF-8")
            check_columns(path, header, columns)
            number, line = 1, lines.line_num + 1
            for cells in lines:
                if cells:  # a blank line has none
                    if len(cells) != len(header):
                        raise csv.Error(f"{len(cells)} cells for {len(header)} columns")
                    yield dict(zip(header, cells, strict=True))
                    number += 1
                line = lines.line_num + 1
        except csv.Error as error:
            raise InputError(
                f"{path}, row {number} (line {line}): {error}; a cell with a "
                f"delimiter, quote or line break has to be in quotes, its own quotes doubled"
            ) from None
