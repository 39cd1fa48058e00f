"""Find near-duplicates: products with one image, one description, or one name but for its colour.

A model that was fitted on one of them knows the others, so a split keeps them together. A grouping
is an int array of shape (n,): the products of a group have the same number.

An image, name or description that many different products share is no sign of a duplicate: it is a
placeholder or boilerplate, and a new product would have it as well.
"""

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Bits of 64 in which the hashes of near-duplicate images may differ. Chosen by looking at pairs of
# 1,800 real products. Up to 4 bits, pairs are colours of a product or products of one series. From
# 6 bits on, there are pairs such as an oven and a phone case. The number of chance pairs grows as
# the square of the catalogue, so a large catalogue needs fewer bits than a small one.
MAX_HAMMING = 2
MAX_DISTINCT_LABELS = 2  # of products that share something; also the most distinct manufacturers
MIN_WORDS = 5  # of a description: many products may share a shorter one

_COLOURS = (
    "aqua|beige|black|blue|bronze|brown|burgundy|champagne|charcoal|clear|copper|coral|cream"
    "|crimson|cyan|espresso|fuchsia|gold|graphite|gray|green|grey|indigo|ivory|khaki|lavender|lime"
    "|magenta|maroon|mint|multi|multicolor|multicolored|navy|olive|orange|pink|platinum|plum"
    "|purple|red|rose|silver|slate|stainless|steel|tan|teal|titanium|transparent|turquoise|violet"
    "|white|yellow"
)
_UNITS = (
    "[\"”″'’′]|amps?|bit|btu|channels?|cm|count|ct|cu\\.? ?ft|cubic (?:feet|foot)|cups?|discs?"
    "|doors?|feet|fl\\.? ?oz|foot|ft|gal|gallons?|gb|ghz|hz|in|inch(?:es)?|kg|lbs?|liters?|mah|mb"
    "|mbps|megapixels?|mhz|ml|mm|mp|ounces?|oz|packages?|packs?|pairs?|pc|pcs|pieces?|pk|qt"
    "|quarts?|sets?|sq|tb|v|volts?|w|watts?|yards?|yd"
)
_NUMBER = r"\d[\d.,]*(?:[ -]\d+/\d+)?"
# A measure ("16GB", '6.5"', "4 x 6 in."), a pack ("3-Pack", "pack of 3", "2-count") or a price.
_MEASURE = re.compile(
    rf"[$€£] ?{_NUMBER}"
    rf"|\b{_NUMBER}(?: ?x ?{_NUMBER})*[ -]?(?:{_UNITS})(?![a-z0-9])"
    rf"|\b(?:pack|set|box|case) of \d+\b"
)
_COLOUR = re.compile(rf"\b(?:{_COLOURS})\b")
_SIZE = re.compile(r"\b(?:x?x-?(?:large|small)|(?:extra-)?(?:large|small)|medium|petite)\b")


def duplicate_signals(
    names: Sequence[str],
    descriptions: Sequence[str],
    image_hashes: Sequence[int | None],
    labels: Sequence[str],
    manufacturers: Sequence[str],
) -> dict[str, np.ndarray]:
    """Return the near-duplicates by image, by name and by description: a grouping for each.

    All have one entry per product, shape (n,). `image_hashes` are perceptual hashes of 64 bits,
    None where there is no image or a blank one. `manufacturers` may be empty.
    """
    short_names = [
        normalize_name(name, manufacturer)
        for name, manufacturer in zip(names, manufacturers, strict=True)
    ]
    long_descriptions = [normalize_description(text) for text in descriptions]
    return {
        "image": _group_close_hashes(_drop_shared(image_hashes, labels, manufacturers)),
        "name": group_equal(_drop_shared(short_names, labels, manufacturers)),
        "description": group_equal(_drop_shared(long_descriptions, labels, manufacturers)),
    }


def group_equal(values: Sequence[Hashable | None]) -> np.ndarray:
    """Return the grouping of products with equal values; None is equal to nothing."""
    numbers: dict[Hashable, int] = {}
    grouping = []
    for row, value in enumerate(values):
        key = ("single", row) if value is None else ("shared", value)
        grouping.append(numbers.setdefault(key, len(numbers)))
    return np.array(grouping, dtype=np.int64)


def union_groups(groupings: Sequence[np.ndarray]) -> np.ndarray:
    """Return the grouping of products that any chain of `groupings` connects, numbered from 0."""
    pairs = []
    for grouping in groupings:
        _, first, group = np.unique(grouping, return_index=True, return_inverse=True)
        pairs.append(np.stack([np.arange(len(grouping)), first[group]]))
    return _components(np.concatenate(pairs, axis=1), len(groupings[0]))


def group_names(skus: np.ndarray, grouping: np.ndarray) -> np.ndarray:
    """Return the name of each product's group: the first of its SKUs in alphabetical order.

    `skus` is an array of str of shape (n,), and so is the array that is returned.
    """
    first: dict[int, str] = {}
    for sku, number in zip(skus.tolist(), grouping.tolist(), strict=True):
        first[number] = min(sku, first.get(number, sku))
    return np.array([first[number] for number in grouping.tolist()], dtype=object)


def normalize_name(name: str, manufacturer: str = "") -> str | None:
    """Return a name without colours, measures, pack counts, prices and punctuation.

    In "Manufacturer - Name - Colour" the whole last part is dropped if it names a colour: "Dazzling
    White" and "Charcoal Black" differ in more than the colour. Return None where nothing is left,
    or only the manufacturer.
    """
    parts = name.casefold().split(" - ")
    if len(parts) > 2 and _COLOUR.search(parts[-1]) and len(parts[-1].split()) <= 3:
        parts.pop()
    rest = _words(_SIZE.sub(" ", _COLOUR.sub(" ", _MEASURE.sub(" ", " ".join(parts)))))
    return rest if rest and rest != _words(manufacturer.casefold()) else None


def normalize_description(text: str) -> str | None:
    """Return a description in lower case with single spaces, None where it is short."""
    words = text.casefold().split()
    return " ".join(words) if len(words) >= MIN_WORDS else None


def close_pairs(hashes: np.ndarray) -> np.ndarray:
    """Return the pairs of `hashes`, uint64 of shape (n,), that differ in at most MAX_HAMMING bits.

    Returns indices, int64 of shape (2, pairs), the smaller one first.
    """
    found = [np.empty((2, 0), dtype=np.int64)]
    rows = 256  # at once: 100 MB for 50,000 hashes
    for start in range(0, len(hashes), rows):
        distances = np.bitwise_count(hashes[start : start + rows, None] ^ hashes[start:])
        found.append(start + np.stack(np.nonzero(distances <= MAX_HAMMING)))
    pairs = np.concatenate(found, axis=1)
    return pairs[:, pairs[0] < pairs[1]]


def _group_close_hashes(hashes: Sequence[int | None]) -> np.ndarray:
    """Return the grouping of products whose images' hashes are equal or close."""
    known = np.array(sorted({value for value in hashes if value is not None}), dtype=np.uint64)
    components = _components(close_pairs(known), len(known))
    component_of: dict[int | None, int | None] = dict(
        zip(known.tolist(), components.tolist(), strict=True)
    )
    return group_equal([component_of.get(value) for value in hashes])


def _drop_shared(
    values: Sequence[Hashable | None], labels: Sequence[str], manufacturers: Sequence[str]
) -> list[Any]:
    """Return `values` with None for those of products with too many labels or manufacturers."""
    labels_of: dict[Hashable | None, set[str]] = defaultdict(set)
    manufacturers_of: dict[Hashable | None, set[str]] = defaultdict(set)
    for value, label, manufacturer in zip(values, labels, manufacturers, strict=True):
        labels_of[value].add(label)
        if manufacturer:
            manufacturers_of[value].add(manufacturer)
    return [
        (
            None
            if max(len(labels_of[value]), len(manufacturers_of[value])) > MAX_DISTINCT_LABELS
            else value
        )
        for value in values
    ]


def _components(pairs: np.ndarray, size: int) -> np.ndarray:
    """Return the connected component of each of `size` nodes; `pairs` has shape (2, edges)."""
    graph = coo_array((np.ones(pairs.shape[1], dtype=bool), tuple(pairs)), shape=(size, size))
    return connected_components(graph, directed=False)[1]


def _words(text: str) -> str:
    """Return the words of a text, without what is between them."""
    return " ".join(re.findall(r"\w+", text))
