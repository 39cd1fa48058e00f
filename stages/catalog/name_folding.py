"""Fold product names: drop what only tells the variants of a product apart, such as its colour.

What that is gets learnt from the catalogue, so it works in any language. A colour stands where
other names of the same class and manufacturer have another colour, and it does so in the names of
many products. A word of a title or a model does not. Measures are found by their units.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import log

import numpy as np

from stages.catalog.labels import look
from stages.catalog.tokens import Tokens, count_words, fold, tokenize

# Chosen by looking at what is learnt from the names of 1,800 real products.
MIN_STEMS = 3  # names, but for the variant, in which a variant takes turns with others
MIN_SCOPES = 2  # pairs of a class and a manufacturer in which it does
MIN_CLASS_STEMS = 2  # of these names in one class: a class of "lamp A", "lamp B" is no family
MIN_SHARE = 0.05  # of the names that have it in which it takes turns
MAX_WORDS = 2  # of a variant
MAX_LAST_PART = 3  # words of a last part that is dropped whole
# A name of more tokens is a description, in which no variant takes turns; to look for one would
# take memory that grows with the square of its length.
MAX_TOKENS = 60
MAX_MEASURED = 2000  # characters of a name in which measures are looked for, likewise

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
_DASH = " - "  # between the parts of "Manufacturer - Name - Colour"

Scope = tuple[str, str]  # a class and a manufacturer
Slot = tuple[int, Tokens]  # a place in names that are equal but for it, and the rest of the name


def fold_names(
    names: Sequence[str], labels: Sequence[str], manufacturers: Sequence[str]
) -> list[str | None]:
    """Return each name without its variants, measures, pack counts, prices and punctuation.

    All have one entry per product; a manufacturer may be empty. In "Manufacturer - Name - Colour"
    the whole last part is dropped if it has a variant: "Dazzling White" and "Charcoal Black" differ
    in more than the colour. None stands where nothing is left, or only the manufacturer.
    """
    scopes: dict[Scope, set[Tokens]] = defaultdict(set)
    tokens = [_tokens(name) for name in names]
    for row, label, manufacturer in zip(tokens, labels, manufacturers, strict=True):
        scopes[label, manufacturer].add(row)
    slots = _Slots(tokens)
    variants = learn_variants(scopes, slots)
    siblings = {scope: _siblings(scope, rows, slots, variants) for scope, rows in scopes.items()}
    own = {manufacturer: _spelling(tokenize(manufacturer)) for manufacturer in set(manufacturers)}
    folded = []
    for name, row, label, manufacturer in zip(names, tokens, labels, manufacturers, strict=True):
        rest = _fold(name, row, variants, siblings[label, manufacturer].get(row, set()))
        folded.append(" ".join(rest) if _spelling(rest) not in ("", own[manufacturer]) else None)
    return folded


def _spelling(tokens: Tokens) -> str:
    """Return tokens as they look: the name may have another width than the manufacturer."""
    return look("".join(tokens))


class _Slots:
    """Finds where the names of one scope differ in one place.

    What is different must say less than what is equal, by how rare its tokens are: of "Halo -
    Xbox" and "Fable - Xbox", the title is not the variant.
    """

    def __init__(self, tokens: Sequence[Tokens]) -> None:
        rows = set(tokens)
        counts = Counter(token for row in rows for token in set(row))
        self._information = {token: log(len(rows) / n) for token, n in counts.items()}
        self._words = {token: count_words((token,)) for token in counts}

    def find(self, scope: Scope, rows: set[Tokens]) -> dict[Slot, set[Tokens]]:
        """Return the tokens in each slot that several of the names `rows` have."""
        hashes = np.fromiter((hash(slot) for slot, _ in self._slots(scope, rows)), np.int64)
        hashes.sort()
        # Most slots are of one name, and a name has a hundred: only the others are kept.
        shared = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        found: dict[Slot, set[Tokens]] = defaultdict(set)
        for slot, value in self._slots(scope, rows):
            if hash(slot) in shared:
                found[slot].add(value)
        return {slot: values for slot, values in found.items() if len(values) > 1}

    def _slots(self, scope: Scope, rows: set[Tokens]) -> Iterator[tuple[Slot, Tokens]]:
        """Yield the slots of each name, and what is in them."""
        for row in rows:
            for start, end in self._spans(row, has_manufacturer=bool(scope[1])):
                yield (start, row[:start] + row[end:]), row[start:end]

    def _spans(self, row: Tokens, has_manufacturer: bool) -> Iterator[tuple[int, int]]:
        if len(row) > MAX_TOKENS:
            return
        information = [self._information[token] for token in row]
        words = [self._words[token] for token in row]
        total = sum(information)
        # A name often starts with the manufacturer: where that is unknown, it is no variant.
        for start in range(not has_manufacturer, len(row) + 1):
            inside = n_words = 0.0
            for end in range(start, len(row) + 1):
                if end > start:
                    inside += information[end - 1]
                    n_words += words[end - 1]
                if n_words > MAX_WORDS or total - inside < inside:
                    break
                if len(row) - (end - start) >= 2:
                    yield start, end


def learn_variants(scopes: dict[Scope, set[Tokens]], slots: _Slots) -> set[Tokens]:
    """Return the tokens that take turns with others in the names of many products."""
    stems: dict[Tokens, set[tuple[Scope, Tokens]]] = defaultdict(set)
    for scope, rows in scopes.items():
        for (_, stem), values in slots.find(scope, rows).items():
            for value in _taking_turns(values, values):
                stems[value].add((scope, stem))
    occurrences: Counter[Tokens] = Counter()
    for rows in scopes.values():
        for row in rows:
            ends = ((i, i + n) for i in range(len(row)) for n in range(1, 2 * MAX_WORDS + 1))
            spans = {row[i:end] for i, end in ends if end <= len(row)}
            occurrences.update(span for span in spans if span in stems)
    return {
        value
        for value, found in stems.items()
        if len(found) >= max(MIN_STEMS, MIN_SHARE * occurrences[value])
        and len({scope for scope, _ in found}) >= MIN_SCOPES
        and max(Counter(scope[0] for scope, _ in found).values()) >= MIN_CLASS_STEMS
    }


def _taking_turns(values: set[Tokens], others: set[Tokens]) -> Iterator[Tokens]:
    """Yield the `values` that differ from one of the `others` in their first and last token.

    So neither could be cut shorter. Numbers do not count: they tell models apart.
    """
    known = [other for other in others if not _has_digit(other)]
    whole = Counter((other[0], other[-1]) for other in known if other)
    first, last = (Counter(pair[i] for pair in whole.elements()) for i in (0, 1))
    for value in values:
        if value and not _has_digit(value):
            ends = value[0], value[-1]
            alike = first[ends[0]] + last[ends[1]] - whole[ends]
            if len(known) > alike:
                yield value


def _siblings(
    scope: Scope, rows: set[Tokens], slots: _Slots, variants: set[Tokens]
) -> dict[Tokens, set[int]]:
    """Return the positions of tokens in names that stand where other names have a variant.

    Of overlapping places the shortest one counts: "Plus Navy" stands where another name has "Red",
    but "Navy" does as well.
    """
    places: dict[Tokens, set[tuple[int, int]]] = defaultdict(set)  # length and start
    for (start, stem), values in slots.find(scope, rows).items():
        if known := values & variants:
            for value in _taking_turns(values - known, known):
                places[stem[:start] + value + stem[start:]].add((len(value), start))
    found: dict[Tokens, set[int]] = defaultdict(set)
    for row, spans in places.items():
        for length, start in sorted(spans):
            span = set(range(start, start + length))
            if not found[row] & span:
                found[row] |= span
    return found


def _fold(name: str, row: Tokens, variants: set[Tokens], siblings: set[int]) -> Tokens:
    """Return the tokens `row` of a name that are no variants."""
    head, dash, last = fold(name).rpartition(_DASH)
    if dash and _DASH in head and len(last.split()) <= MAX_LAST_PART:
        end = _tokens(last)
        if _variant_positions(end, variants) or siblings & set(
            range(len(row) - len(end), len(row))
        ):
            row, siblings = _tokens(head), set()
    dropped = siblings | _variant_positions(row, variants)
    return tuple(token for i, token in enumerate(row) if i not in dropped)


def _variant_positions(row: Tokens, variants: set[Tokens]) -> set[int]:
    """Return the positions of the variants in a name, of several at one place the longest."""
    found: set[int] = set()
    i = 0
    while i < len(row):
        lengths = range(min(2 * MAX_WORDS, len(row) - i), 0, -1)
        n = next((n for n in lengths if row[i : i + n] in variants), 0)
        found.update(range(i, i + n))
        i += max(n, 1)
    return found


def _tokens(name: str) -> Tokens:
    name = fold(name)
    return tokenize(_MEASURE.sub(" ", name) if len(name) <= MAX_MEASURED else name)


def _has_digit(tokens: Tokens) -> bool:
    return any(character.isdigit() for token in tokens for character in token)
