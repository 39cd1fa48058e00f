"""Find near-duplicates: products with one image, one description, or one name but for its colour.

A model that was fitted on one of them knows the others, so a split keeps them together. A grouping
is an int array of shape (n,): the products of a group have the same number. Names and descriptions
may be in any language.

An image, name or description that many different products share is no sign of a duplicate: it is a
placeholder or boilerplate, and a new product would have it as well.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

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
    descriptions: Sequence[str],
    image_hashes: Sequence[int | None],
    labels: Sequence[str],
    manufacturers: Sequence[str],
) -> dict[str, Signal]:
    """Return the near-duplicates by image, by name and by description.

    All have one entry per product. `image_hashes` are perceptual hashes of 64 bits, None where
    there is no image or a blank one. `manufacturers` may be empty.
    """
    values: dict[str, Sequence[Hashable | None]] = {
        "image": image_hashes,
        "name": fold_names(names, labels, manufacturers),
        "description": [description_key(text) for text in descriptions],
    }
    signals = {}
    for name, found in values.items():
        usable = _drop_shared(found, labels, manufacturers)
        groups = _group_close_hashes(usable) if name == "image" else group_equal(usable)
        signals[name] = Signal(groups, sum(value is not None for value in usable))
    return signals


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


def description_key(text: str) -> str | None:
    """Return what equal descriptions have in common: their tokens, None where it is short."""
    tokens = tokenize(text)
    return " ".join(tokens) if count_words(tokens) >= MIN_WORDS else None


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
