"""Your own table: CSV, TSV, JSON, JSON Lines or Parquet, with its columns named in params.yaml.

Everything is read as text.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from stages.catalog.settings import TableSettings
from stages.catalog.sources.product import RawProduct
from stages.catalog.sources.readers.cell_text import to_text
from stages.catalog.sources.readers.delimited import read_csv, read_tsv
from stages.catalog.sources.readers.json_objects import read_json, read_json_lines
from stages.catalog.sources.readers.parquet import read_parquet
from stages.common.errors import InputError
from stages.common.image_ref import ImageRef

READERS: dict[str, Callable[[Path, list[str]], Iterator[Mapping[str, Any]]]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".json": read_json,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".parquet": read_parquet,
}


def read(settings: TableSettings, folder: Path) -> Iterator[RawProduct]:
    """Yield the products of the table at `settings.path` in `folder`, in their order.

    Raises InputError where the path is outside the folder, is not there or has an unknown ending,
    where a column is missing, and where a row cannot be read. Rows are counted from 1, without the
    header.
    """
    path = _path_in(folder, settings.path)
    named = settings.model_dump(exclude={"path", "archive"}).values()
    columns = [name for name in dict.fromkeys(named) if name is not None]
    for number, row in enumerate(READERS[path.suffix.lower()](path, columns), start=1):
        text: dict[str | None, str | None] = {None: None}  # for a column that the table lacks
        for name in columns:
            text[name] = to_text(row.get(name), f"{path}, row {number}, {name}")
        yield RawProduct(
            sku=text[settings.sku],
            name=text[settings.name],
            description=text[settings.description],
            manufacturer=text[settings.manufacturer],
            label=text[settings.label],
            image=_image(settings, text),
        )


def _path_in(folder: Path, name: str) -> Path:
    """Return the path of the table, which must be in `folder` and in a known format."""
    path = folder / name
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise InputError(f"data.table.path is {name!r}, which is not in data.folder ({folder})")
    if path.suffix.lower() not in READERS:
        raise InputError(f"data.table.path is {name!r}: it has to end in {', '.join(READERS)}")
    if not path.is_file():
        raise InputError(f"{path} is not there: put your table there or correct data.table.path")
    return path


def _image(settings: TableSettings, text: Mapping[str | None, str | None]) -> str | None:
    """Return where a product's image is, as the text of an ImageRef."""
    location = (text[settings.image_url] or text[settings.image_path] or "").strip()
    if not location:
        return None
    if settings.image_path is None:
        return location
    return str(ImageRef("archive" if settings.archive else "file", location))
