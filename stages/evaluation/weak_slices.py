"""Slices of the test products in which a model is surely weaker than on all of them.

Slices are defined before mistakes are looked at. Bonferroni's correction for how many were tried
makes all their intervals hold together, with 95 % confidence. Each is an inversion of Chernoff's
bound (Chernoff 1952, A Measure of Asymptotic Efficiency for Tests of a Hypothesis), where a group
of near-duplicates counts as right or wrong as a whole: by convexity, this is the worst that the
products of a group can have in common (Hoeffding 1963, Probability Inequalities for Sums of Bounded
Random Variables). The bound needs no approximation for few groups or for unequal ones. A binomial
interval for the effective number of products (Kish 1965, Survey Sampling) is one: where mistakes
are rare, one large group that is wrong makes a slice of many small groups look weak.

A slice is compared with the mean of all products, which is taken as known. That errs on the safe
side unless one group is a large part of all products: the slice is part of the mean, so chance
moves both in one direction. The mean of the other products has an error of its own.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from stages.evaluation.typesetting import script_of

CONFIDENCE = 0.95  # that no interval of all those tried misses its slice's accuracy
MIN_GROUPS = 8  # of a slice that is tried: each one tried makes all intervals wider
BANDS = (0.25, 0.5, 0.75, 1.0)  # shares of the products up to the end of each band
HALVINGS = 30  # of the range of a search: to nine places
LARGEST_SHARE = 40  # as a logit: from here on a share is 1 in float64

Slices = Mapping[str, Mapping[str, np.ndarray]]  # rows by attribute and value


@dataclass(frozen=True)
class WeakSlice:
    """A slice whose `accuracy` is surely below `mean`, that of all test products.

    `low` and `high` are the ends of its interval, corrected for the `tried` slices.
    """

    attribute: str
    value: str
    products: int
    groups: int
    accuracy: float
    low: float
    high: float
    mean: float
    tried: int


@dataclass(frozen=True)
class _Tried:
    """The slices that are large enough, and their near-duplicate groups by size.

    `names` has (attribute, value) of each slice. `products`, `right`, `groups` and `wrong_groups`,
    those with a mistake, count what is in each: int64 of shape (slices,). Slice `owner[i]` has
    `count[i]` groups of `size[i]` products.
    """

    names: list[tuple[str, str]]
    products: np.ndarray
    right: np.ndarray
    groups: np.ndarray
    wrong_groups: np.ndarray
    owner: np.ndarray
    size: np.ndarray
    count: np.ndarray

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Add up `values` of a group of each owner and size: float64 of shape (slices,)."""
        return np.bincount(self.owner, self.count * values)


def slices_of(
    manufacturers: Sequence[str],
    labels: Sequence[str],
    names: Sequence[str],
    descriptions: Sequence[str],
    has_image: np.ndarray,
) -> dict[str, dict[str, np.ndarray]]:
    """Return the rows of the products of each slice, by attribute and value: int64, ascending.

    All arguments have n products, in the order of the predictions; "" stands for a missing text,
    and `has_image` is boolean of shape (n,). Products without text are in no slice of texts.
    """
    texts = [name + description for name, description in zip(names, descriptions, strict=True)]
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    missing = {"no image": np.flatnonzero(~has_image), "no text": np.flatnonzero(lengths == 0)}
    return {
        "manufacturer": _rows_by_value(name or "no manufacturer" for name in manufacturers),
        "class": _rows_by_value(labels),
        "missing input": missing,
        "text length": _length_bands(lengths),
        "script": _rows_by_value(_main_script(text) if text else None for text in texts),
    }


def weak_slices(
    correct: np.ndarray, groups: np.ndarray, slices: Slices
) -> tuple[list[WeakSlice], int]:
    """Return (weak slices, how many were tried), most mistakes above the average first.

    `correct`, boolean, says whether each of at least one test product is predicted right, and
    `groups`, str, which are near-duplicates; both are of shape (n,). `slices` are those of
    `slices_of`. Slices of fewer than MIN_GROUPS groups are not tried; of slices with the same
    products the first is. A slice with mistakes in one group alone is not weak.
    """
    tried = _tried(correct, groups, slices)
    if not tried.names:
        return [], 0
    mean = float(np.mean(correct))
    high = 1 - _lowest_rates(tried, tried.products - tried.right)
    low = _lowest_rates(tried, tried.right)
    weak = [
        WeakSlice(
            *tried.names[i],
            products=int(tried.products[i]),
            groups=int(tried.groups[i]),
            accuracy=float(tried.right[i] / tried.products[i]),
            low=float(low[i]),
            high=float(high[i]),
            mean=mean,
            tried=len(tried.names),
        )
        # One group alone is no slice, however seldom the others are wrong.
        for i in np.flatnonzero((high < mean) & (tried.wrong_groups > 1))
    ]
    return sorted(weak, key=_rank), len(tried.names)


def _rank(found: WeakSlice) -> tuple[float, str, str]:
    """Return what weak slices are sorted by; names decide between equals."""
    return (found.accuracy - found.mean) * found.products, found.attribute, found.value


def _rows_by_value(values: Iterable[str | None]) -> dict[str, np.ndarray]:
    """Return the rows of each value; those of None are in no slice."""
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        if value is not None:
            rows.setdefault(value, []).append(row)
    return {value: np.array(found, dtype=np.int64) for value, found in rows.items()}


def _main_script(text: str) -> str:
    """Return the script of most letters of a text, or "no letters"."""
    counts: Counter[str] = Counter()
    for sign, count in Counter(text).items():
        if sign.isalpha():
            counts[script_of(sign)] += count
    return max(sorted(counts), key=lambda script: counts[script], default="no letters")


def _length_bands(lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rows of four bands of as many texts each, fewer where many are of one length."""
    rows = np.flatnonzero(lengths)
    if not len(rows):
        return {}
    lengths = lengths[rows]
    ends = np.unique(np.quantile(lengths, BANDS, method="inverted_cdf"))
    bands = np.searchsorted(ends, lengths)
    return {_band_name(lengths[bands == i]): rows[bands == i] for i in range(len(ends))}


def _band_name(lengths: np.ndarray) -> str:
    low, high = lengths.min(), lengths.max()
    return f"text of {low} to {high} characters" if low < high else f"text of {low} characters"


def _tried(correct: np.ndarray, groups: np.ndarray, slices: Slices) -> _Tried:
    codes = np.unique(groups, return_inverse=True)[1]
    found: dict[bytes, tuple[tuple[str, str], np.ndarray]] = {}
    for attribute, by_value in slices.items():
        for value, rows in by_value.items():
            if len(np.unique(codes[rows])) >= MIN_GROUPS:
                found.setdefault(rows.tobytes(), ((attribute, value), rows))
    all_rows = [rows for _, rows in found.values()]
    # How many groups there are of each size, from 0.
    sizes = [np.bincount(np.unique(codes[rows], return_counts=True)[1]) for rows in all_rows]
    wrong = [np.unique(codes[rows[~correct[rows]]]) for rows in all_rows]
    return _Tried(
        names=[name for name, _ in found.values()],
        products=_counts(len(rows) for rows in all_rows),
        right=_counts(correct[rows].sum() for rows in all_rows),
        groups=_counts(each.sum() for each in sizes),
        wrong_groups=_counts(len(each) for each in wrong),
        owner=np.repeat(np.arange(len(sizes)), [np.count_nonzero(each) for each in sizes]),
        size=_joined(np.flatnonzero(each) for each in sizes),
        count=_joined(each[each > 0] for each in sizes),
    )


def _counts(values: Iterable[int]) -> np.ndarray:
    return np.array(list(values), dtype=np.int64)


def _joined(parts: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([_counts([]), *parts])


def _lowest_rates(tried: _Tried, events: np.ndarray) -> np.ndarray:
    """Return the lowest rate of each slice at which so many events are not too improbable.

    `events` are of shape (slices,), as is the result, float64: mistakes, or what is right.
    """
    level = math.log((1 - CONFIDENCE) / 2 / len(tried.names))
    low, high = np.zeros(len(events)), events / tried.products
    for _ in range(HALVINGS):
        rates = np.maximum((low + high) / 2, np.finfo(float).tiny)
        improbable = _log_bound(tried, events, rates) < level
        low, high = np.where(improbable, rates, low), np.where(improbable, high, rates)
    return low


def _log_bound(tried: _Tried, events: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Bound the logarithm of how probable at least so many events are, at each slice's rate.

    Chernoff's bound holds for every tilt that is not negative. The tightest one has as many events
    as were seen for its mean.
    """
    logits = logit(rates)
    low, high = np.zeros(len(rates)), LARGEST_SHARE - logits
    for _ in range(HALVINGS):
        tilt = (low + high) / 2
        shares = expit(logits[tried.owner] + tilt[tried.owner] * tried.size)
        too_few = tried.sums(tried.size * shares) < events
        low, high = np.where(too_few, tilt, low), np.where(too_few, high, tilt)
    tilted = np.log(rates)[tried.owner] + low[tried.owner] * tried.size
    moments = np.logaddexp(np.log1p(-rates)[tried.owner], tilted)
    return tried.sums(moments) - low * events
