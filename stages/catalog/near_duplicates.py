"""Find near-duplicates: products with one image, one description, or one name but for its colour.

A model that was fitted on one of them knows the others, so a split keeps them together. A grouping
is an int array of shape (n,): the products of a group have the same number. Names and descriptions
may be in any language.

An image, name or description that many different products share is no sign of a duplicate: it is a
placeholder or boilerplate, and a new product would have it as well.
"""

from collections.abc import Hashable, Iterable, Sequence
from hashlib import blake2b
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.catalog.name_folding import fold_names
from stages.catalog.tokens import count_words, tokenize

# Bits of 64 in which the hashes of near-duplicate images may differ. Chosen by looking at pairs of
# 1,800 real products. Up to 4 bits, pairs are colours of a product or products of one series. From
# 6 bits on, there are pairs such as an oven and a phone case. The number of chance pairs grows as
# the square of the catalogue, so a large catalogue needs fewer bits than a small one.
MAX_HAMMING = 2
BANDS = 4  # of the bits of a hash, in which close ones are found
MAX_DISTINCT_LABELS = 2  # of products that share something; also the most distinct manufacturers
MIN_WORDS = 5  # of a description: many products may share a shorter one


class Signal(NamedTuple):
    """The near-duplicates by one signal, and for how many products it could be computed."""

    groups: np.ndarray  # a grouping, int64 of shape (n,)
    n_usable: int


def duplicate_signals(
    names: Sequence[str],
    descriptions: Iterable[str],
    image_hashes: Sequence[int | None],
    labels: Sequence[str],
    manufacturers: Sequence[str],
) -> dict[str, Signal]:
    """Return the near-duplicates by image, by name and by description.

    All have one entry per product; descriptions are read once. `image_hashes` are perceptual hashes
    of 64 bits, None where there is no image or a blank one. `manufacturers` may be empty.
    """
    values: dict[str, Sequence[Hashable | None]] = {
        "image": image_hashes,
        "name": fold_names(names, labels, manufacturers),
        "description": [description_key(text) for text in descriptions],
    }
    shown = [_codes(labels), _codes([one or None for one in manufacturers])]
    signals = {}
    for name, found in values.items():
        codes = _drop_shared(_codes(found), shown)
        is_usable = codes >= 0
        if name == "image":
            hashes = [value for value, kept in zip(found, is_usable, strict=True) if kept]
            codes[is_usable] = _components_of_hashes(np.array(hashes, dtype=np.uint64))
        signals[name] = Signal(_group(codes), int(is_usable.sum()))
    return signals


def group_equal(values: Sequence[Hashable | None]) -> np.ndarray:
    """Return the grouping of products with equal values; None is equal to nothing."""
    return _group(_codes(values))


def _codes(values: Sequence[Hashable | None]) -> np.ndarray:
    """Return a number from 0 on for each value, int64 of shape (n,), which equal values share.

    That of None is -1.
    """
    known: dict[Hashable, int] = {}
    numbers = (-1 if one is None else known.setdefault(one, len(known)) for one in values)
    return np.fromiter(numbers, np.int64, len(values))


def _group(codes: np.ndarray) -> np.ndarray:
    """Return the grouping of products with equal codes, int64 of shape (n,); -1 equals nothing."""
    alone = codes < 0
    groups = codes.copy()
    groups[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return groups


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


def description_key(text: str) -> bytes | None:
    """Return a digest of a description's tokens, which is all that is compared; None if short."""
    tokens = tokenize(text)
    if count_words(tokens) < MIN_WORDS:
        return None
    return blake2b(" ".join(tokens).encode(), digest_size=16).digest()


def close_pairs(hashes: np.ndarray) -> np.ndarray:
    """Return the pairs of `hashes`, uint64 of shape (n,), that differ in at most MAX_HAMMING bits.

    Returns indices, int64 of shape (2, pairs), in ascending order, the smaller one first. No pair
    is missed: bits that differ are in MAX_HAMMING of BANDS bands at most, and whatever bands these
    are, hashes are compared that agree in all others. The time grows with the number of pairs that
    agree so, as n for hashes that differ, and as the square of those that are alike.
    """
    found = [np.empty((2, 0), dtype=np.int64)]
    width = 64 // BANDS
    for bands in combinations(range(BANDS), BANDS - MAX_HAMMING):
        mask = sum((2**width - 1) << (width * band) for band in bands)
        keys = hashes & np.uint64(mask)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        left, distance = np.arange(len(keys)), 0
        while len(left):  # each is compared with the next one, then with the one after that
            distance += 1
            left = left[left + distance < len(keys)]
            left = left[keys[left] == keys[left + distance]]
            pairs = np.sort(np.stack([order[left], order[left + distance]]), axis=0)
            differing = np.bitwise_count(hashes[pairs[0]] ^ hashes[pairs[1]])
            found.append(pairs[:, differing <= MAX_HAMMING])
    return np.unique(np.concatenate(found, axis=1), axis=1)


def _components_of_hashes(hashes: np.ndarray) -> np.ndarray:
    """Return for each of `hashes`, uint64 of shape (n,), a number that close ones share."""
    known, rows = np.unique(hashes, return_inverse=True)
    return _components(close_pairs(known), len(known))[rows]


def _drop_shared(codes: np.ndarray, shown: Sequence[np.ndarray]) -> np.ndarray:
    """Return `codes`, int64 of shape (n,), with -1 for those that are shared too widely.

    That is by products with too many different numbers in one of `shown`, which are codes as well.
    """
    codes = codes.copy()
    for others in shown:
        is_known = (codes >= 0) & (others >= 0)
        n_others = others.max(initial=-1) + 1
        pairs = np.unique(codes[is_known] * n_others + others[is_known])
        n_distinct = np.bincount(pairs // max(n_others, 1))
        codes[np.isin(codes, np.flatnonzero(n_distinct > MAX_DISTINCT_LABELS))] = -1
    return codes


def _components(pairs: np.ndarray, size: int) -> np.ndarray:
    """Return the connected component of each of `size` nodes; `pairs` has shape (2, edges)."""
    graph = coo_array((np.ones(pairs.shape[1], dtype=bool), tuple(pairs)), shape=(size, size))
    return connected_components(graph, directed=False)[1]
