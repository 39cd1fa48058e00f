"""Which columns of a table are read: those that the command line names, else those of the model."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from serving.reading import TEXT_KEYS, fields_read
from stages.catalog.settings import TableColumns
from stages.common.errors import InputError
from stages.fusion.model_file import ModelFile

IMAGES = ("image_path", "image_url")
KEYS = ("sku", *TEXT_KEYS, *IMAGES)
N_LISTED = 30  # columns that a message lists


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """Return what `--column name=title` and the like say.

    Raises InputError where a text has another form, and where two say the same.
    """
    named: dict[str, str] = {}
    for text in texts:
        key, equals, column = text.partition("=")
        if key not in KEYS or not equals or not column:
            raise InputError(
                f"--column is {text!r}: write what the column holds ({', '.join(KEYS)}) and its "
                "name, as in --column name=title"
            )
        if key in named:
            raise InputError(f"--column names {key} twice, {named[key]!r} and {column!r}: name one")
        named[key] = column
    if named.keys() >= set(IMAGES):
        raise InputError("--column names image_url and image_path: name one of them")
    return named


def likely_columns(model: ModelFile, named: Mapping[str, str]) -> list[str]:
    """Return the names that columns of a new table may have, by which its header is found."""
    own = (model.table or {}).items()
    return [*named.values(), *(column for key, column in own if key in KEYS and column), *KEYS]


def choose_columns(
    table: Path,
    found: Sequence[str],
    model: ModelFile,
    named: Mapping[str, str],
    *,
    sheet: str | None,
    encoding: str | None,
    archive: str | None,
) -> TableColumns:
    """Return the columns to read of a table that has the columns `found`.

    What `named` does not say is taken from the table that the model was trained on, or else the
    column that is named for what it holds, unless that is known to hold something else. Raises
    InputError where a column that is named is not there, or holds a text that the model was trained
    without, and where there is none that the model reads.
    """
    for key, column in named.items():
        if column not in found:
            raise InputError(
                f"{table} has no column {column!r} (--column {key}={column}); it has "
                f"{_listed(found)}"
            )
    own = model.table or {}
    for key, column in named.items():
        if key in TEXT_KEYS and own.get(key, key) is None:
            raise InputError(
                f"--column {key}={column}: the model was trained without a {key}; leave it out, or "
                f"name its column in data.table.{key} and train anew"
            )
    known = {key: named.get(key) or own.get(key) for key in KEYS}
    known = {key: name for key, name in known.items() if name in found}
    wanted = fields_read(model) + [*IMAGES] * _sees_images(model)
    chosen = {key: known.get(key) or _by_name(key, found, known) for key in ("sku", *wanted)}
    _keep_one_image(chosen, named, own, archive)
    if not any(chosen.get(key) for key in wanted):
        raise InputError(
            f"{table} has the columns {_listed(found)}, and the model reads {', '.join(wanted)}: "
            f"say which is which, as in --column {wanted[0]}="
            + ("photo" if wanted[0] in IMAGES else "title")
        )
    if archive is not None and _sees_images(model) and chosen["image_path"] is None:
        raise InputError(
            "--archive needs the column with the names of the images: --column image_path=..."
        )
    columns = dict.fromkeys(KEYS) | chosen
    in_archive = archive if chosen.get("image_path") else None
    return TableColumns(sheet=sheet, encoding=encoding, label=None, archive=in_archive, **columns)


def _by_name(key: str, found: Sequence[str], known: Mapping[str, str | None]) -> str | None:
    """Return `key` where that is a column which is not known to hold something else.

    SKUs are still SKUs where files of images are named by them.
    """
    others = [name for what, name in known.items() if (key, what) != ("sku", "image_path")]
    return key if key in found and key not in others else None


def _sees_images(model: ModelFile) -> bool:
    return any(block.input == "image" for block in model.blocks.values())


def _keep_one_image(
    chosen: dict[str, str | None],
    named: Mapping[str, str],
    own: Mapping[str, str],
    archive: str | None,
) -> None:
    """Keep one column of images: the one that is named, then the model's own, then the paths."""
    if not all(chosen.get(key) for key in IMAGES):
        return
    order: Collection[str] = [key for source in (named, own) for key in IMAGES if source.get(key)]
    kept = "image_path" if archive else next(iter(order), "image_path")
    for key in IMAGES:
        if key != kept:
            chosen[key] = None


def _listed(found: Sequence[str]) -> str:
    more = f" and {len(found) - N_LISTED:,} more" if len(found) > N_LISTED else ""
    return (", ".join(map(repr, found[:N_LISTED])) or "none") + more


def say_columns(columns: TableColumns, model: ModelFile) -> str:
    """Return which columns are read, in words, and how to name those of an input that has none."""
    found = {key: name for key, name in columns.model_dump(include=set(KEYS)).items() if name}
    words = ", ".join(key if name == key else f"{name} as {key}" for key, name in found.items())
    if "sku" not in found:
        words += (
            "; no SKUs, so that the number of a row is its SKU: name their column, if there is "
            "one, in --column sku=..."
        )
    if _sees_images(model) and found.keys().isdisjoint(IMAGES):
        words += "; no images: name their column, if there is one, in --column image_path=..."
    if lacking := [key for key in fields_read(model) if key not in found]:
        words += (
            f"; no {' and no '.join(lacking)}: name the column, if there is one, in --column "
            f"{lacking[0]}=..."
        )
    return words
