"""Products that are nearly the same: one picture, one name but for its colour, or one description.

A model that was fitted on one of them knows the others, so they belong on one side of a split. A
relation is an int array of shape (n,): products that it joins have the same number.

What strangers share joins nobody: a picture, name or description of more than two classes or more
than two makers is a placeholder or boilerplate, which a product that is new would have as well.
"""

import io
import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import PIL.Image
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 32  # pixels of the picture that is hashed
FLAT = 3.0  # levels of 255: a standard deviation below it is a blank picture and its noise
# Bits of 64. Judged by looking at pairs of 1,800 real products: up to 4, colours of a product and
# products of one series; from 6 on, an oven and a phone's case. Chance pairs grow as the square of
# the catalogue, so this is less than what a small one would bear.
CLOSE = 2
STRANGERS = 3  # classes, or makers
LEAST_WORDS = 5  # of a description: fewer may be anybody's

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


def relations(
    names: Sequence[str],
    descriptions: Sequence[str],
    pictures: Sequence[int | None],
    labels: Sequence[str],
    makers: Sequence[str],
) -> dict[str, np.ndarray]:
    """Return which products are near-duplicates by picture, by name and by description.

    All have one entry per product, shape (n,). `pictures` are hashes, None where there is no
    picture or a blank one; `makers` may be empty. Returns a relation for each cause.
    """
    names_left = [fold_name(name, maker) for name, maker in zip(names, makers, strict=True)]
    texts = [fold_description(text) for text in descriptions]
    return {
        "picture": _alike_pictures(_without_strangers(pictures, labels, makers)),
        "name": same_values(_without_strangers(names_left, labels, makers)),
        "description": same_values(_without_strangers(texts, labels, makers)),
    }


def same_values(values: Sequence[Hashable | None]) -> np.ndarray:
    """Return the relation of products with the same value; None joins nobody."""
    numbers: dict[Hashable, int] = {}
    relation = []
    for at, value in enumerate(values):
        key = ("alone", at) if value is None else ("with", value)
        relation.append(numbers.setdefault(key, len(numbers)))
    return np.array(relation, dtype=np.int64)


def joined(relations: Sequence[np.ndarray]) -> np.ndarray:
    """Return the relation of products that any chain of `relations` joins, numbered from 0."""
    pairs = []
    for relation in relations:
        _, first, place = np.unique(relation, return_index=True, return_inverse=True)
        pairs.append(np.stack([np.arange(len(relation)), first[place]]))
    return _components(np.concatenate(pairs, axis=1), len(relations[0]))


def fold_name(name: str, maker: str = "") -> str | None:
    """Return what is left of a name without colours, measures, pack counts and punctuation.

    In "Maker - Name - Colour" the last part is dropped whole if it names a colour: "Dazzling White"
    differs from "Charcoal Black" in more than the colour. None where nothing, or no more than the
    maker, is left.
    """
    parts = name.casefold().split(" - ")
    if len(parts) > 2 and _COLOUR.search(parts[-1]) and len(parts[-1].split()) <= 3:
        parts.pop()
    rest = _words(_SIZE.sub(" ", _COLOUR.sub(" ", _MEASURE.sub(" ", " ".join(parts)))))
    return rest if rest and rest != _words(maker.casefold()) else None


def fold_description(text: str) -> str | None:
    """Return a description with case and white space folded, None where it is short."""
    words = text.casefold().split()
    return " ".join(words) if len(words) >= LEAST_WORDS else None


def picture_hash(jpeg: bytes) -> int | None:
    """Return the perceptual hash of a JPEG, 64 bits; None for one that is blank.

    The bits say which of the 8×8 lowest frequencies of the picture's brightness are above their
    median. The same bytes give the same hash, and so do most of the pictures that look the same.
    """
    with PIL.Image.open(io.BytesIO(jpeg)) as picture:
        picture.draft("L", (SIDE, SIDE))  # decodes a fraction of the pixels, several times as fast
        grey = picture.convert("L").resize((SIDE, SIDE), PIL.Image.Resampling.LANCZOS)
    pixels = np.asarray(grey, dtype=np.float64)
    if pixels.std() < FLAT:
        return None
    low = dctn(pixels, norm="ortho")[:8, :8].ravel()
    return int.from_bytes(np.packbits(low > np.median(low[1:])).tobytes(), "big")


def close_pairs(hashes: np.ndarray) -> np.ndarray:
    """Return the pairs of `hashes`, uint64 of shape (n,), that differ in at most CLOSE bits.

    Returns places, int64 of shape (2, pairs).
    """
    found = [np.empty((2, 0), dtype=np.int64)]
    rows = 256  # at once: 100 MB for 50,000 hashes
    for start in range(0, len(hashes), rows):
        differing = np.bitwise_count(hashes[start : start + rows, None] ^ hashes[start:])
        found.append(start + np.stack(np.nonzero(differing <= CLOSE)))
    pairs = np.concatenate(found, axis=1)
    return pairs[:, pairs[0] < pairs[1]]


def _alike_pictures(hashes: Sequence[int | None]) -> np.ndarray:
    """Return the relation of products whose pictures' hashes are equal or close."""
    known = np.array(sorted({value for value in hashes if value is not None}), dtype=np.uint64)
    components = _components(close_pairs(known), len(known))
    component_of: dict[int | None, int | None] = dict(
        zip(known.tolist(), components.tolist(), strict=True)
    )
    return same_values([component_of.get(value) for value in hashes])


def _without_strangers(
    keys: Sequence[Hashable | None], labels: Sequence[str], makers: Sequence[str]
) -> list[Any]:
    """Return `keys` with None for those that products of too many classes or makers share."""
    classes_of: dict[Hashable | None, set[str]] = defaultdict(set)
    makers_of: dict[Hashable | None, set[str]] = defaultdict(set)
    for key, label, maker in zip(keys, labels, makers, strict=True):
        classes_of[key].add(label)
        if maker:
            makers_of[key].add(maker)
    return [
        None if max(len(classes_of[key]), len(makers_of[key])) >= STRANGERS else key for key in keys
    ]


def _components(pairs: np.ndarray, size: int) -> np.ndarray:
    """Return the connected component of each of `size` nodes; `pairs` has shape (2, edges)."""
    graph = coo_array((np.ones(pairs.shape[1], dtype=bool), tuple(pairs)), shape=(size, size))
    return connected_components(graph, directed=False)[1]


def _words(text: str) -> str:
    """Return the words of a text without what stands between them."""
    return " ".join(re.findall(r"\w+", text))
