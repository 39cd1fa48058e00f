"""What a cell of a table says of a product's images, taken as a person would."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal

from stages.catalog.image_reasons import HALF, IMAGE_ENDING, why_no_path, why_no_url
from stages.catalog.invisible_marks import strip_invisible
from stages.catalog.missing_values import is_null
from stages.common.image_ref import ImageRef, is_url

CellScheme = Literal["url", "file", "archive"]

_SEPARATORS = ",;|"
_GAP = r"[\s,;|\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
_START = r"[\"'<]?(?:[a-z][a-z0-9+.-]*://|//[^/\s])"
_NULL = rf"(?:nan|none|null|<na>|n/a)(?:{_GAP}|$)"
# The look-behind keeps the time linear in the length of a gap.
_BETWEEN_URLS = re.compile(rf"(?<!{_GAP}){_GAP}+(?={_START}|{_NULL})", re.IGNORECASE)
_AFTER_DATA_URL = re.compile(rf"(?<!{_GAP}){_GAP}+(?=[\"'<]?https?://)", re.IGNORECASE)
_BETWEEN_NAMES = re.compile(rf"((?<!{_GAP}){_GAP}+)")
_BARE_LIST = re.compile(rf"[\[({{]\s*{_START}", re.IGNORECASE)
# A list as Python writes it; a backslash takes the next character with it.
_PYTHON_LIST = re.compile(r"[\[(]\s*(?:None\s*,\s*)*['\"]")
_PYTHON_TEXT = re.compile(r"\\.|'((?:[^'\\]|\\.)*)'" + r'|"((?:[^"\\]|\\.)*)"', re.DOTALL)
# An object, or a list of objects, as Python writes it.
_PYTHON_OBJECT = re.compile(r"[\[(]?\s*\{\s*['\"]")
_PYTHON_TOKEN = re.compile(rf"{_PYTHON_TEXT.pattern}|\b(None|True|False|nan)\b", re.DOTALL)
_IN_JSON = {"None": "null", "True": "true", "False": "false", "nan": "NaN"}
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # of a JSON list: an emoji that was cut
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_AMPERSAND = re.compile(r"&(?:amp|#38|#x26);", re.IGNORECASE)
_WRAPS = {'"': '"', "'": "'", "<": ">", "“": "”"}
_URL_KEYS = ("url", "src", "href", "link", "image", "large")


def read_image_cell(cell: str | None, scheme: CellScheme) -> str | None:
    """Return the references in a cell as the texts of ImageRefs, one a line; None if it has none.

    `scheme` says what the column holds. Several references may stand in a cell, one after another
    or as a JSON list. The first that can be used comes first. One that cannot be used has the
    scheme `unusable` and the reason.
    """
    found = (_reference(part, scheme) for part in _parts(cell or "", scheme))
    references = dict.fromkeys(reference for reference in found if reference is not None)
    usable_first = sorted(references, key=lambda reference: reference.scheme == "unusable")
    return "\n".join(map(str, usable_first)) or None


def image_keys(scheme: CellScheme) -> tuple[str, ...]:
    """Return the keys that name the image in an object, as a column of that scheme is read."""
    if scheme == "url":
        return (*_URL_KEYS, "path")
    return ("path", "filename", *_URL_KEYS, "name")


def names_nothing(text: str) -> bool:
    """Return whether a text is no image: empty, separators alone, or a missing value."""
    return not strip_invisible(text, _SEPARATORS) or is_null(text.strip("[]{}()"))


def _parts(cell: str, scheme: CellScheme) -> Iterator[str]:
    """Yield the parts of a cell that each should be a reference."""
    cell = strip_invisible(cell)
    for text in _texts_of_list(cell, scheme) if cell[:1] in ("[", "{", "(", '"') else [cell]:
        text = _AMPERSAND.sub("&", _AMPERSAND.sub("&", text))
        yield from _split_urls(text) if scheme == "url" else _split_names(text)


def _texts_of_list(cell: str, scheme: CellScheme) -> list[str]:
    """Return the texts in a list as JSON, Python or nobody writes it, or the cell if it is none."""
    try:
        return list(_texts_in(json.loads(cell), scheme))
    except (ValueError, RecursionError):
        if _PYTHON_LIST.match(cell):
            found = ["".join(groups) for groups in _PYTHON_TEXT.findall(cell)]
            is_cut = re.search("['\"]", _PYTHON_TEXT.sub("", cell)) is not None
            if is_cut and not any(found):  # no empty cell, but a fault to be seen
                return [cell]
            return [_ESCAPED.sub(r"\1", text) for text in found]
        if _PYTHON_OBJECT.match(cell):
            with suppress(ValueError, RecursionError):
                value = json.loads(_PYTHON_TOKEN.sub(_token_in_json, cell))
                return list(_texts_in(value, scheme))
        return [strip_invisible(cell, "[](){}") if _BARE_LIST.match(cell) else cell]


def _token_in_json(token: re.Match[str]) -> str:
    """Return a text or a constant of Python as JSON writes it."""
    if token[3]:
        return _IN_JSON[token[3]]
    return json.dumps(_ESCAPED.sub(r"\1", token[1] or token[2] or ""))


def _texts_in(value: Any, scheme: CellScheme) -> Iterator[str]:
    """Yield the texts in a JSON value; of an object those that `_texts_of_object` returns."""
    match value:
        case str() | int() | float():
            yield str(value)
        case list():
            for one in value:
                yield from _texts_in(one, scheme)
        case dict():
            yield from _texts_of_object(value, scheme)


def _texts_of_object(value: dict[str, Any], scheme: CellScheme) -> list[str]:
    """Return the texts of the first key that names an image and has one.

    If no key has, the URLs are keys or values. An object without such a key has its images as
    values.
    """
    keys = image_keys(scheme)
    for key in keys:
        if isinstance(value.get(key), str | list | dict):
            texts = [text for text in _texts_in(value[key], scheme) if not names_nothing(text)]
            if texts:
                return texts
    # A large shop has the URLs as keys, and the sizes of the images as values.
    if urls := list(filter(is_url, value)):
        return urls
    # As PHP writes a list that does not start at 0, or by the kind of image.
    others = [value[key] for key in value if key not in keys]
    others = [one for one in others if isinstance(one, str | list | dict)]
    if not value.keys().isdisjoint(image_keys("url") + image_keys("file")):
        return list(filter(is_url, _texts_in(others, scheme)))
    if not others and any(value.values()):  # no empty cell, but a fault to be seen
        return [json.dumps(value)]
    return list(_texts_in(others, scheme))


def _split_urls(text: str) -> list[str]:
    """Split a text where what follows looks like another URL."""
    is_data = text[:5].lower() == "data:"
    return (_AFTER_DATA_URL if is_data else _BETWEEN_URLS).split(text)


def _split_names(text: str) -> list[str]:
    """Split a text after each ending of an image file if all its parts have one.

    Where only spaces are between two names, and nothing says that it is a list, the second has to
    be a path: "lamp.jpg 2.jpg" is a name.
    """
    names: list[list[str]] = [[]]
    for piece in _BETWEEN_NAMES.split(text):
        names[-1].append(piece)
        if IMAGE_ENDING.search(piece.rstrip("\"'")):
            names.append([])
    rest = "".join(names.pop())
    is_list = names and not strip_invisible(rest, _SEPARATORS)
    if not is_list:
        return [text]
    found: list[list[str]] = []
    for pieces in names:
        name = "".join(pieces)
        gap = name[: len(name) - len(name.lstrip(" "))]
        is_own = not gap or rest or _starts_name(name.lstrip(" "))
        if found and not is_own:
            found[-1] += pieces
        else:
            found.append(pieces)
    return ["".join(pieces) for pieces in found]


def _starts_name(text: str) -> bool:
    """Return whether a text after a space is another name: after a separator, quoted or a path."""
    return re.match(rf"{_GAP}|[\"'<]", text) is not None or "/" in text or "\\" in text


def _reference(part: str, scheme: CellScheme) -> ImageRef | None:
    """Return the reference that a part of a cell is, None where it stands for none."""
    text = _unwrap(part, _SEPARATORS if scheme == "url" else "")
    if scheme != "url" and IMAGE_ENDING.search(bare := _unwrap(text, _SEPARATORS)):
        text = bare
    text = re.sub(r"[\0\r\n\t]+", "", text)
    if names_nothing(text):
        return None
    if scheme == "url":
        text = _complete_url(text)
    if _HALF_CHARACTER.search(text):
        return ImageRef("unusable", _shortened(_HALF_CHARACTER.sub("\ufffd", text)), HALF)
    reason = why_no_url(text) if scheme == "url" else why_no_path(text)
    return ImageRef("unusable", _shortened(text), reason) if reason else ImageRef(scheme, text)


def _unwrap(part: str, separators: str) -> str:
    """Remove white space, invisible marks, `separators` and a pair of quotes from both ends."""
    text = strip_invisible(part, separators)
    if len(text) > 1 and _WRAPS.get(text[0]) == text[-1]:
        text = strip_invisible(text[1:-1], separators)
    return text


def _complete_url(text: str) -> str:
    r"""Add https: to `//host/...`, and take the backslashes out of `http:\\/\\/host`."""
    if re.match(r"https?:\\/\\/", text, re.IGNORECASE):
        text = text.replace("\\/", "/")
    return f"https:{text}" if re.match(r"//[^/\s]", text) else text


def _shortened(text: str) -> str:
    """Return the first 100 characters of a text: an image in a cell may have millions."""
    return text if len(text) <= 100 else f"{text[:100]}…"
