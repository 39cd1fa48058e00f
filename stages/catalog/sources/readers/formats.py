"""Which files a table consists of, and which reader reads them."""

from pathlib import Path, PurePath

from stages.catalog.sources.readers.delimited import read_csv, read_tsv
from stages.catalog.sources.readers.json_objects import read_json, read_json_lines
from stages.catalog.sources.readers.parquet import read_parquet
from stages.catalog.sources.readers.rows import Reader
from stages.catalog.sources.readers.spreadsheet import read_spreadsheet
from stages.common.errors import InputError
from stages.common.file_content import COMPRESSED_ENDINGS

READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".json": read_json,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".parquet": read_parquet,
    ".xlsx": read_spreadsheet,
    ".xls": read_spreadsheet,
    ".ods": read_spreadsheet,
}


def reader_of(path: Path) -> Reader:
    """Return the reader of a file, by the ending of its name.

    Raises InputError where it has none of the endings.
    """
    ending = _ending(path)
    if ending not in READERS:
        raise InputError(
            f"{path} cannot be read as a table: the name of a table (data.table.path) has to end "
            f"in {', '.join(READERS)}, and may then end in {', '.join(COMPRESSED_ENDINGS)}"
        )
    return READERS[ending]


def files_of(path: Path) -> list[Path]:
    """Return the files of a table: one, or those of its folder in the order of their names.

    Files whose names start with `_` or `.` hold no rows, as Spark names them. Raises InputError
    where the folder has no file, a folder, or files of several formats.
    """
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.name[0] not in "._")
    if not files:
        raise InputError(f"{path} has no files: put your table there or correct data.table.path")
    for file in files:
        if not file.is_file() or _ending(file) != _ending(files[0]):
            raise InputError(
                f"{path} is a folder, and the files of a table in several files have one format: "
                f"{files[0].name} and {file.name} in it have not. Write the table without "
                f"partitions, move what is no part of it, or correct data.table.path"
            )
    return files


def _ending(path: PurePath) -> str:
    """Return what a name ends in, without the ending of a compressed file."""
    name = PurePath(path.name.lower())
    return (PurePath(name.stem) if name.suffix in COMPRESSED_ENDINGS else name).suffix
