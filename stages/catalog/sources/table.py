"""Your own table: a file in one of the formats of `readers`, its columns named in the settings.

Everything is read as text. A table may also be a folder of such files, as Spark writes it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path, PurePath
from typing import Any

from stages.catalog.image_cells import CellScheme, read_image_cell
from stages.catalog.settings import TableColumns, TableSettings
from stages.catalog.sources.product import RawProduct
from stages.catalog.sources.readers.cell_text import to_text
from stages.catalog.sources.readers.formats import Format, files_of, format_of
from stages.catalog.sources.readers.image_cell import embedded_items, to_image_text
from stages.catalog.sources.readers.json_objects import check_json_lines, read_json_lines
from stages.catalog.sources.readers.rows import Row, RowError, listed
from stages.common.errors import InputError
from stages.common.image_ref import EmbeddedImage, ImageRef, is_url

MAX_FAULTS = 10  # rows that one error names
_KEYS = {"sheet": "data.table.sheet", "encoding": "data.table.encoding"}


def read(settings: TableSettings, folder: Path) -> Iterator[RawProduct]:
    """Yield the products of the table at `settings.path` in `folder`, in their order.

    Raises InputError where the path is outside the folder, is not there or has an unknown ending,
    where a column is missing, and where rows cannot be read, of which it names the first ten. Rows
    are counted from 1, without the header.
    """
    path = _path_in(folder, settings.path)
    faults: dict[str, RowError] = {}  # by the place of the row
    for place, product in read_rows(path, settings, tables=folder, images=folder):
        if not isinstance(product, RowError):
            yield product
            continue
        faults[place] = product
        if len(faults) == MAX_FAULTS:
            break
    if faults:
        raise _cannot_be_read(path, faults)


def read_rows(
    path: Path, settings: TableColumns, *, tables: Path, images: Path
) -> Iterator[tuple[str, RawProduct | RowError]]:
    """Yield the place of each row of the table at `path`, and its product or why it has none.

    Files of images are in the folder `images`; embedded ones are named from `tables`, a folder
    above the table. Raises InputError where the table as a whole cannot be read.
    """
    named = settings.model_dump(exclude={"path", "sheet", "encoding", "archive"}).values()
    columns = [name for name in dict.fromkeys(named) if name is not None]
    for file, row in _rows(path, columns, settings):
        place = row.place if file == path else f"{file.name}, {row.place}"
        try:
            text = _texts(row, columns, settings, images)
            image = _image(settings, text, file.relative_to(tables).as_posix(), row)
            yield place, _product(settings, text, image)
        except RowError as error:
            yield place, error


def columns_of(
    path: Path,
    wanted: Sequence[str] = (),
    *,
    sheet: str | None = None,
    encoding: str | None = None,
) -> list[str]:
    """Return the columns that a table has; of one in several files those of the first with any.

    The header is the row that has the most of the wanted columns, which the table may lack. Of JSON
    Lines any file may lack a key: they are those of all. Raises InputError where the table cannot
    be read.
    """
    files = files_of(path)
    kind, options = _format_of(files[0], sheet=sheet, encoding=encoding)
    found = (kind.columns(file, wanted, **options) for file in files)
    if kind.read is read_json_lines:
        return list(dict.fromkeys(chain.from_iterable(found)))
    return next(filter(None, found), [])


def _path_in(folder: Path, name: str) -> Path:
    """Return the path of the table, which must be in `folder`."""
    path = folder / name
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise InputError(
            f"data.table.path is {name!r}: put your table into data.folder ({folder}), and write "
            "its path from there, such as products.csv"
        )
    if not path.exists():
        raise InputError(
            f"{path} is not there: put your table there or correct data.table.path. A queued "
            "experiment sees only what Git or DVC tracks: `dvc add` the table and commit"
        )
    return path


def _rows(path: Path, columns: Sequence[str], settings: TableColumns) -> Iterator[tuple[Path, Row]]:
    """Yield the rows of a table, each with its file."""
    files = files_of(path)
    kind, options = _format_of(files[0], sheet=settings.sheet, encoding=settings.encoding)
    if kind.read is read_json_lines:
        check_json_lines(path, files, columns, **options)
    for file in files:
        for row in kind.read(file, columns, **options):
            yield file, row


def _format_of(file: Path, **given: str | None) -> tuple[Format, dict[str, str]]:
    """Return the format of a file, and the options that are given for it.

    Raises InputError where one is given that the format has not.
    """
    kind = format_of(file)
    options = {name: value for name, value in given.items() if value is not None}
    for name, value in options.items():
        if name != kind.option:
            raise InputError(
                f"{_KEYS[name]} is {value!r}, but {file} has no {name}: set it to null"
            )
    return kind, options


def _product(
    settings: TableColumns, text: Mapping[str | None, str | None], image: str | None
) -> RawProduct:
    """Return the product of a row, whose texts are given by column."""
    return RawProduct(
        sku=text[settings.sku],
        name=text[settings.name],
        description=text[settings.description],
        manufacturer=text[settings.manufacturer],
        label=text[settings.label],
        image=image,
    )


def _texts(
    row: Row, columns: Sequence[str], settings: TableColumns, folder: Path
) -> dict[str | None, str | None]:
    """Return the cells of a row as texts. Raises RowError where the row or a cell has a fault."""
    if row.fault:
        raise row.fault
    text: dict[str | None, str | None] = {None: None}  # for a column that the table lacks
    for name in columns:
        cell = row.cells.get(name)
        try:
            if name in (settings.image_url, settings.image_path):
                is_there = partial(_is_there, settings, folder)
                text[name] = to_image_text(cell, _scheme(settings), is_there)
            else:
                text[name] = to_text(cell, " > " if name == settings.label else " ")
        except RowError as error:
            sku = text.get(settings.sku)  # the first column, if there is one
            raise RowError(f"{name} {error.reason}", _fix(name, cell, error), sku) from None
    return text


def _fix(column: str, cell: Any, error: RowError) -> str:
    """Return what the user can do about a cell that cannot be read."""
    for one in listed(cell):
        if isinstance(one, dict) and one:
            return f"name the column with a key of it, such as {column}.{next(iter(one))}"
    return error.fix


def _scheme(settings: TableColumns) -> CellScheme:
    """Return what the column of images holds."""
    if settings.image_path is None:
        return "url"
    return "archive" if settings.archive else "file"


def _is_there(settings: TableColumns, folder: Path, location: str) -> bool:
    """Return whether an image that is embedded in the table can be read by its location too."""
    if settings.image_path is None:
        return is_url(location)
    if settings.archive is not None:
        return True
    try:
        return not PurePath(location).is_absolute() and (folder / location).is_file()
    except (OSError, ValueError):  # too long for a path, or a null byte in it
        return False


def _image(
    settings: TableColumns, text: Mapping[str | None, str | None], file: str, row: Row
) -> str | None:
    """Return where a product's images are, as the texts of ImageRefs, one a line.

    Those that are embedded in the row of the `file` come first.
    """
    column = settings.image_path or settings.image_url
    if column is None:
        return None
    found = [
        str(ImageRef("embedded", EmbeddedImage(file, column, row.number, item).location))
        for item in embedded_items(row.cells.get(column))
    ]
    named = read_image_cell(text[column], _scheme(settings))
    return "\n".join([*found, named] if named else found) or None


def _cannot_be_read(path: Path, faults: Mapping[str, RowError]) -> InputError:
    """Return the error that names the rows that cannot be read, by their places."""
    reasons = [f"{place}: {error.reason}" for place, error in faults.items()]
    fixes = "; ".join(dict.fromkeys(error.fix for error in faults.values()))
    if len(reasons) == 1:
        return InputError(f"{path}, {reasons[0]}: {fixes}")
    count = f"{len(faults)} rows" if len(faults) < MAX_FAULTS else f"at least {MAX_FAULTS} rows"
    return InputError("\n  ".join([f"{path}: {count} cannot be read:", *reasons, fixes]))
