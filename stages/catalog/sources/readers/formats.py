"""Which files a table consists of, and which reader reads them."""

from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Literal, NamedTuple

from stages.catalog.sources.readers.delimited import (
    csv_columns,
    read_csv,
    read_tsv,
    tsv_columns,
)
from stages.catalog.sources.readers.json_objects import (
    json_columns,
    json_lines_columns,
    read_json,
    read_json_lines,
)
from stages.catalog.sources.readers.parquet import parquet_columns, read_parquet
from stages.catalog.sources.readers.rows import Reader
from stages.catalog.sources.readers.spreadsheet import read_spreadsheet, spreadsheet_columns
from stages.common.errors import InputError
from stages.common.file_content import COMPRESSED_ENDINGS, open_bytes


class Format(NamedTuple):
    """How the rows of a file are read, and which columns it has.

    `columns` takes the names of those that the file is likely to have. `option` is the setting of
    the table that both take, if any.
    """

    read: Reader
    columns: Callable[..., list[str]]
    option: Literal["sheet", "encoding"] | None = None


FORMATS = {
    ".csv": Format(read_csv, csv_columns, "encoding"),
    ".tsv": Format(read_tsv, tsv_columns, "encoding"),
    ".json": Format(read_json, json_columns, "encoding"),
    ".jsonl": Format(read_json_lines, json_lines_columns, "encoding"),
    ".ndjson": Format(read_json_lines, json_lines_columns, "encoding"),
    ".parquet": Format(read_parquet, parquet_columns),
    ".xlsx": Format(read_spreadsheet, spreadsheet_columns, "sheet"),
    ".xls": Format(read_spreadsheet, spreadsheet_columns, "sheet"),
    ".ods": Format(read_spreadsheet, spreadsheet_columns, "sheet"),
}


_NO_TABLES = (".", "_", "~$")
_WITH_HEADER = (".csv", ".tsv")  # which a program that has no rows for a file may not write


def format_of(path: Path) -> Format:
    """Return the format of a file, by the ending of its name.

    Raises InputError where it has none of the endings.
    """
    ending = _ending(path)
    if ending not in FORMATS:
        raise InputError(
            f"{path} cannot be read as a table: the name of a table (data.table.path) has to end "
            f"in {', '.join(FORMATS)}, and may then end in {', '.join(COMPRESSED_ENDINGS)}"
            + (": if tabs or the like are between its cells, name it .tsv" * (ending == ".txt"))
        )
    return FORMATS[ending]


def files_of(path: Path) -> list[Path]:
    """Return the files of a table: one, or those of its folder in the order of their names.

    Files whose names start with `_` or `.` hold no rows, as Spark names them, nor do those of an
    open workbook (`~$`) and empty files of CSV or TSV. Raises InputError where the folder has no
    file, a folder, or files of several formats.
    """
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if not file.name.startswith(_NO_TABLES))
    if not files:
        raise InputError(f"{path} has no files: put your table there or correct data.table.path")
    for file in files:
        if not file.is_file() or _ending(file) != _ending(files[0]):
            raise InputError(
                f"{path} is a folder, and the files of a table in several files have one format: "
                f"{files[0].name} and {file.name} in it have not. Write the table without "
                f"partitions, move what is no part of it, or correct data.table.path"
            )
    filled = [file for file in files if _ending(file) not in _WITH_HEADER or _has_content(file)]
    return filled or files


def _has_content(file: Path) -> bool:
    with open_bytes(file) as content:  # a compressed file of nothing has bytes
        return content.peek(1) != b""


def _ending(path: PurePath) -> str:
    """Return what a name ends in, without the ending of a compressed file."""
    name = PurePath(path.name.lower())
    return (PurePath(name.stem) if name.suffix in COMPRESSED_ENDINGS else name).suffix
