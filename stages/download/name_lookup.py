r"""Find the files that references mean: in the catalogue's folder and in its archive alike.

A reference names a file exactly where they are the same path: `\` means `/`, a leading `/` or `./`
is ignored, and Unicode's composed and decomposed letters are alike. Otherwise the only file that
fits is taken, which is counted: see `_WAYS`. A file's last part alone is compared only where the
reference has no folder, so that `mugs/7.jpg` never means `lamps/7.jpg`.
"""

import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from stages.download.failures import Failure

ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".avif", ".bmp", ".tif", ".tiff"),
    *(".heic", ".heif", ".jp2", ".j2k", ".mpo"),
)
MAX_PARTS = 8  # of the end of a path: no path makes the index large
WINDOWS_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
WITH_HOST = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
DECODED = "with %20 and the like decoded"


@dataclass(frozen=True)
class Place:
    """Where files are: its name in a reason, and the reason for a file that is not there."""

    name: str
    missing: str


@dataclass(frozen=True)
class Match:
    """The name of the file that a reference means.

    `path` is what of the reference fits, and `way` how it was guessed, None if exact.
    """

    name: str
    path: str
    way: str | None = None


class NameMatcher:
    """Matches references with names. `guessed` counts the references by how they were guessed."""

    def __init__(self, above: Iterable[str] = ()) -> None:
        """Paths in `above` are of folders: a reference may start there, and names start below."""
        self._above = [_composed(path) for path in map(plain, above) if path != "."]
        self.guessed: Counter[str] = Counter()
        self._indexes: dict[Place, _Index] = {}

    def match(
        self,
        references: Iterable[str],
        is_name: Callable[[str], bool],
        list_names: Callable[[], Iterable[str]],
        place: Place,
    ) -> dict[str, str | Failure]:
        """Return the name that each reference means, or why there is none.

        Names are as `plain` returns them. `is_name` says whether there is such a name; `list_names`
        returns all of them, and is called at most once for a place, if a reference is no name.

        Two references never mean one name unless both are exact: a guess that another reference
        fits as well is a Failure.
        """
        index = self._indexes.setdefault(place, _Index(list_names))
        paths = {reference: plain(reference) for reference in dict.fromkeys(references)}
        results: dict[str, Match | Failure] = {}
        for reference, path in paths.items():
            results[reference] = self._exact(path, is_name) or (
                _refused(reference, place) or self._guess(path, is_name, index, place)
            )
        fitting = _count_paths(results.values())
        return {reference: self._settle(result, fitting) for reference, result in results.items()}

    def _exact(self, path: str, is_name: Callable[[str], bool]) -> Match | None:
        return next((Match(name, name) for name in self._starts(path) if is_name(name)), None)

    def _guess(
        self, path: str, is_name: Callable[[str], bool], index: "_Index", place: Place
    ) -> Match | Failure:
        decoded = self._exact(plain(unquote(path)), is_name) if "%" in path else None
        if decoded:
            return Match(decoded.name, path, DECODED)
        found = (index.find(start, place) for start in self._starts(path))
        missing = Failure(place.missing)
        return next((match for match in found if match != missing), missing)

    def _starts(self, path: str) -> list[str]:
        """Return a path, and what of it is below each of the folders that it starts with."""
        parts = path.split("/")
        starts = [path]
        for above in self._above:
            depth = above.count("/") + 1
            if len(parts) > depth and _composed("/".join(parts[:depth])) == above:
                starts.append("/".join(parts[depth:]))
        return starts

    def _settle(self, result: Match | Failure, fitting: Mapping[str, int]) -> str | Failure:
        if isinstance(result, Failure):
            return result
        if result.way is not None:
            if fitting[result.name] > 1:
                return Failure("another reference fits the same file")
            self.guessed[result.way] += 1
        return result.name


def plain(name: str) -> str:
    """Return a path with `/` between its parts and without a leading `/`, `./` or inner `..`."""
    return posixpath.normpath(name.replace("\\", "/").lstrip("/"))


def _refused(reference: str, place: Place) -> Failure | None:
    """Return why a reference is no path in a place, None where it may be one."""
    if WINDOWS_DRIVE.match(reference):
        return Failure(f"a path on a Windows drive, not one in {place.name}")
    if found := WITH_HOST.match(reference):
        scheme = found[1].lower()
        return Failure(f"a {scheme}:// address, not a path in {place.name}")
    if plain(reference).split("/")[0] == "..":
        return Failure(f"outside {place.name}")
    return None


def _count_paths(results: Iterable[Match | Failure]) -> Counter[str]:
    """Return how many different paths mean each name."""
    pairs = {(_composed(found.path), found.name) for found in results if isinstance(found, Match)}
    return Counter(name for _, name in pairs)


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _folded(path: str) -> str:
    return _composed(path).casefold()


def _without_ending(path: str) -> str | None:
    """Return a path without the ending of an image, None where it has no such ending."""
    stem, ending = posixpath.splitext(path)
    return _composed(stem) if ending.lower() in ENDINGS else None


def _folded_without_ending(path: str) -> str | None:
    stem = _without_ending(path)
    return None if stem is None else stem.casefold()


@dataclass(frozen=True)
class _Way:
    """A way to guess: what is compared of a name and of a reference, wholly or at its end."""

    of_name: Callable[[str], str | None]
    of_reference: Callable[[str], str]
    at_end: bool
    words: str | None


# In this order: the first way in which a name fits decides, and fails if several names fit.
_FOLDER = "in a folder that they do not name"
_WAYS = (
    _Way(_composed, _composed, False, None),
    _Way(_folded, _folded, False, "in another case"),
    _Way(_without_ending, _composed, False, "without their ending"),
    _Way(_folded_without_ending, _folded, False, "without their ending"),
    _Way(_composed, _composed, True, _FOLDER),
    _Way(_folded, _folded, True, _FOLDER),
    _Way(_without_ending, _composed, True, _FOLDER),
    _Way(_folded_without_ending, _folded, True, _FOLDER),
)


class _Index:
    """Names by what each way compares; built when it is first needed."""

    def __init__(self, list_names: Callable[[], Iterable[str]]) -> None:
        self._list_names = list_names

    @cached_property
    def _tables(self) -> list[dict[str, list[str]]]:
        tables: list[dict[str, list[str]]] = [defaultdict(list) for _ in _WAYS]
        for name in self._list_names():
            for way, table in zip(_WAYS, tables, strict=True):
                compared = way.of_name(name)
                for key in _ends(compared) if way.at_end and compared else [compared]:
                    if key:
                        table[key].append(name)
        return tables

    def find(self, path: str, place: Place) -> Match | Failure:
        """Return the only name that fits a path in the first way in which any does."""
        for way, table in zip(_WAYS, self._tables, strict=True):
            fitting = table.get(way.of_reference(path), [])
            if len(fitting) == 1:
                return Match(fitting[0], path, way.words)
            if fitting:
                return Failure(f"several in {place.name}")
        return Failure(place.missing)


def _ends(path: str) -> list[str]:
    """Return the ends of a path, each of some of its last parts but not of all."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(max(1, len(parts) - MAX_PARTS), len(parts))]
