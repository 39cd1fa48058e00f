"""Read a CSV that a browser sends, in whatever encoding and with whatever separator it has."""

import codecs
import csv
import io
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence

from serving.server.schemas import MAX_CHARACTERS
from serving.server.uploaded_table import UploadedTable
from stages.catalog.sources.readers.delimited import SEPARATOR_LINE
from stages.common.errors import InputError

_NAMES = {  # of the column that has a text, the preferred one first
    "name": ("name", "title", "product name", "product_name", "product title", "product_title"),
    "description": ("description", "long description", "long_description", "text"),
    "manufacturer": ("manufacturer", "brand"),
}
_IMAGES = ("image", "photo", "picture")  # one of them is in the name of a column of images
_SEPARATORS = ",;\t|"
MAX_CELLS = 1_000_000  # that all rows would have, were they as long as the longest
_HEADER = 100_000  # characters in which the header shows the separator
_MARKS = (  # UTF-32 first: its mark of little-endian text starts with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_NO_TEXT = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"PAR1", b"\x1f\x8b", b"%PDF")


def read_uploaded_csv(
    content: bytes,
    *,
    max_rows: int,
    own: Mapping[str, str | None],
    fields: Collection[str],
) -> UploadedTable:
    """Read a CSV: UTF-8, UTF-16 or UTF-32 with a mark, else Windows-1252.

    Cells are separated by what the first line says (sep=;), else by what separates the header best:
    comma, semicolon, tab or bar. `own` has the columns of the table that the model was trained on,
    as in params.yaml, and `fields` the texts that it reads. Raises InputError where it is no CSV,
    has no column to read, no rows, or too many rows or cells.
    """
    text, notes = _decode(content)
    said = SEPARATOR_LINE.match(text)
    separator = said[1] if said else _separator(text)
    first = 2 if said else 1
    lines = list(_rows(text[said.end() :] if said else text, first, separator, max_rows))
    if len(lines) < 2:
        raise InputError("the table has no rows: send a header and at least one product")
    (_, header), body = lines[0], lines[1:]
    columns = _columns(header, own)
    if lacking := [key for key in fields if key not in columns]:
        notes.append(
            f"Judged without {' and '.join(lacking)}, which the model reads: name the column so, "
            "if there is one."
        )
    if _names_images(header, own):
        notes.append(
            "Only texts were judged: images that a table names are not fetched here, "
            "python -m serving.predict reads them."
        )
    width = _width(lines)
    faults = {
        i: f"line {line}: {fault}"
        for i, (line, cells) in enumerate(body)
        if (fault := _fault(cells, len(header), columns))
    }
    if faults:
        notes.append(f"Rows that cannot be read: {len(faults):,}; see the column error.")
    return UploadedTable(
        header=_padded(header, width),
        rows=[_padded(cells, width) for _, cells in body],
        separator=separator,
        columns=columns,
        faults=faults,
        notes=notes,
    )


def _decode(content: bytes) -> tuple[str, list[str]]:
    """Return the text of a file and what to say of it."""
    if content.startswith(_NO_TEXT):
        raise InputError("the file is no CSV but a workbook or the like: save it as CSV (UTF-8)")
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    notes = []
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8":
            raise InputError("the file is damaged: save it again, as CSV (UTF-8)") from None
        text = content.decode("cp1252", "replace")
        notes.append("The file is not UTF-8 and was read as Windows-1252: check its accents.")
    if "\0" in text:
        raise InputError("the file is no text: save it as CSV (UTF-8)")
    return text, notes


def _separator(text: str) -> str:
    """Return the separator that makes the most columns of the header."""

    def n_columns(separator: str) -> int:
        rows = csv.reader(io.StringIO(text[:_HEADER], newline=""), delimiter=separator)
        return len(next(filter(None, rows), []))

    return max(_SEPARATORS, key=n_columns)


def _rows(text: str, first: int, separator: str, max_rows: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows, each with its line, counted from `first`, the header first.

    A blank line is no row, but where the table has one column: there it is an empty cell, unless
    only blank lines follow.
    """
    csv.field_size_limit(sys.maxsize)  # or a cell of more than 128 KiB refuses the whole table
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    count, line, width, n_blank = 0, first, 0, 0
    try:
        for cells in reader:
            if cells:
                width = width or len(cells)
                n_empty = n_blank if count and width == 1 else 0
                if count + n_empty > max_rows:
                    raise InputError(
                        f"the table has more than {max_rows:,} rows: send it in parts, or use "
                        "python -m serving.predict"
                    )
                yield from ((at, [""]) for at in range(line - n_empty, line))
                yield line, cells
                count += n_empty + 1
            n_blank = 0 if cells else n_blank + 1
            line = reader.line_num + first
    except csv.Error as error:
        raise InputError(
            f"line {line} cannot be read ({error}): a cell with a separator, quote or line break "
            "has to be in quotes, its own quotes doubled"
        ) from None


def _width(lines: Sequence[tuple[int, list[str]]]) -> int:
    """Return the number of cells of the longest row. Raises InputError where that is too long."""
    line, cells = max(lines, key=lambda row: len(row[1]))
    if len(cells) * len(lines) > MAX_CELLS:
        raise InputError(
            f"line {line} has {len(cells):,} cells and the table {len(lines) - 1:,} rows, which is "
            "too much at once: send fewer columns, or the table in parts"
        )
    return len(cells)


def _columns(header: Sequence[str], own: Mapping[str, str | None]) -> dict[str, int]:
    """Return the place of each column with a text. Raises InputError where there is none."""
    plain = [name.strip().casefold() for name in header]
    known = {key: name.strip().casefold() for key, name in own.items() if name and key != "sheet"}
    found = {}
    for key, names in _NAMES.items():
        free = [name for name in names if name not in known.values()]  # holds nothing else
        wanted = [known[key], *free] if key in known else free
        name = next((name for name in wanted if name in plain), None)
        if name is None:
            continue
        if plain.count(name) > 1:
            raise InputError(f"the table has {plain.count(name)} columns {name!r}: rename one")
        found[key] = plain.index(name)
    if not {"name", "description"} & set(found):
        raise InputError(
            "the table has no column 'name' (or 'title') and no 'description'; it has "
            f"{', '.join(map(repr, header[:20]))}: rename the column with the products' names, and "
            "remove rows above the header"
        )
    return found


def _names_images(header: Sequence[str], own: Mapping[str, str | None]) -> bool:
    """Return whether a column seems to hold images: one of the training's, or by its name."""
    trained = [(own.get(key) or "").strip().casefold() for key in ("image_path", "image_url")]
    plain = [name.strip().casefold() for name in header]
    return any(
        name and (name in trained or any(word in name for word in _IMAGES)) for name in plain
    )


def _fault(cells: Sequence[str], width: int, columns: Mapping[str, int]) -> str | None:
    """Return why a row cannot be read, None if it can."""
    if len(cells) != width:
        return (
            f"{len(cells)} cells for {width} columns: a cell with a separator, quote or line break "
            "has to be in quotes, and empty cells need their separators"
        )
    for key, at in columns.items():
        if len(cells[at]) > MAX_CHARACTERS:
            return f"the {key} has more than {MAX_CHARACTERS:,} characters: shorten it"
    return None


def _padded(cells: list[str], width: int) -> list[str]:
    return cells + [""] * (width - len(cells))
