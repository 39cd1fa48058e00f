"""Labels that share parts: several categories in one cell, or a category beside its own part."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

# Between categories of one cell. Between digits it is none: "1,5 mm".
_LIST = re.compile(r" ?(?:(?<!\d)[,;|]|[,;|](?!\d)) ?")
# Between a category and its part, or between categories of one cell.
_ANY = re.compile(r" ?(?:(?<!\d)[,;|>»›→\\/:]|[,;|>»›→\\/:](?!\d)|(?<= )[-–—](?= ))")
_PATH = re.compile(r" ?[>»›→\\] ?")
_AND = re.compile(r" (?:&|and|und|et|y|e|en|og|och) ", re.IGNORECASE)


class _Place(NamedTuple):
    """Where a part stands in a label that is a list: after how many others, and after which."""

    number: int
    after: str
    is_list: bool  # no path that is written with the separators of a list


def shared_parts(labels: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return the parts that labels share so that one product may belong to several of these.

    A part is shared

    - if it is a label itself and another label starts with it (`Home` and `Home > Lamps`) or lists
      it (`Lamps` and `Sale, Lamps`);
    - if it is in different places of two lists (`Lamps, Sale` and `Sale, Chairs`), or after
      different others where a path is written otherwise (`Lamps, Sale` and `Chairs, Sale`).

    Labels of an ordinary taxonomy share none: `Home > Lamps` and `Home > Chairs`, `Men|Shoes` and
    `Women|Shoes`, `Men > Hats, Scarves & Gloves` and `Women > Hats, Scarves & Gloves`. Labels are
    clean: their spaces are single. Returns {part: {label: how many labels}}, the part that most
    labels share first.
    """
    sizes = Counter(filter(None, labels))
    sharing: dict[str, set[str]] = defaultdict(set)
    places: dict[str, set[_Place]] = defaultdict(set)
    listing: dict[str, set[str]] = defaultdict(set)
    lengths = set(map(len, sizes))
    for label in sizes:
        parts = _LIST.split(label)
        for part in (*_starts(label, lengths), *parts):
            if part in sizes and part != label:
                sharing[part] |= {part, label}
        for part, place in _places(label, parts):
            places[part].add(place)
            listing[part].add(label)
    for part, found in places.items():
        after = {place.after for place in found if place.is_list}
        if len({place.number for place in found}) > 1 or len(after) > 1:
            sharing[part] |= listing[part]
    shared = {
        part: {label: sizes[label] for label in sorted(found)}
        for part, found in sharing.items()
        if len(found) > 1
    }
    return dict(sorted(shared.items(), key=lambda item: (-sum(item[1].values()), item[0])))


def _starts(label: str, lengths: Collection[int]) -> Iterator[str]:
    """Yield what stands before each separator of a label, if it has one of `lengths`.

    To take all, of a label of many separators, would take time by the square of its length.
    """
    for separator in _ANY.finditer(label):
        end = separator.start()
        end -= label.endswith(" ", 0, end)  # spaces are single
        if end in lengths:
            yield label[:end]


def _places(label: str, parts: list[str]) -> Iterator[tuple[str, _Place]]:
    """Yield the parts of a label that lists categories, each with its place."""
    if len(parts) < 2 or _AND.search(parts[-1]):  # "Hats, Scarves & Gloves" is one name
        return
    is_list = "|" not in label or _PATH.search(label) is not None
    for number, part in enumerate(parts):
        if part:
            after = _PATH.split(parts[number - 1])[-1] if number else ""
            yield part, _Place(number, after, is_list and number > 0)
