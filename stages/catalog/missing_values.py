"""Texts that stand for nothing: what programs and people write into a cell that should be empty."""

import re
import unicodedata

from stages.catalog.text_cleaning import clean

# What programs write for a missing value (Magento for an image), and people for "does not apply".
_NULLS = re.compile(
    r"nan|none|null|nil|nat|<na>|<null>|<none>|<nan>|\(null\)|undefined|\\n"
    r"|no_selection|#?n/?a|n\.a\.|-{1,3}|–|—"
)
# A class may well have such a name; it may also be where products without a class were put.
_WORDS = re.compile(
    r"unknown|missing|empty|blank|tbd|tba|todo|no (?:value|category|label)"
    r"|not (?:available|applicable|specified|set)|unspecified|unassigned|unclassified"
    r"|uncategori[sz]ed|#(?:ref!|value!|name\?|div/0!|null!|num!|error!)"
)
# As a name is written, such as that of the bread, and no program writes a missing value.
_NAMES = {"Nan", "Nat", "Null"}
_IN_BRACKETS = re.compile(r"<[^<>/]+>")


def is_null(text: str) -> bool:
    """Return whether a text is what programs write for a missing value: nan, None, <NA>, ..."""
    return _NULLS.fullmatch(_plain(text)) is not None


def clean_text(text: str | None) -> str:
    """Return `text` as plain text, empty also where it stands for a missing value."""
    cleaned = clean(text)
    return "" if is_null(cleaned) and cleaned not in _NAMES else cleaned


def looks_missing(text: str) -> bool:
    """Return whether a text may stand for a missing value: a null, such a word, or no word.

    Markup without text, such as `<p></p>`, has no word, nor has `?`. `<Table>` is a name.
    """
    plain = _plain(text)
    is_name = _IN_BRACKETS.fullmatch(text) and text[1].isupper() and not text.isupper()
    return (
        any(is_null(one) or _WORDS.fullmatch(one) for one in (plain, plain.strip("<>()[]{}*'\"")))
        or not (is_name or clean(text))
        or all(unicodedata.category(character)[0] in "PZ" for character in text)
    )


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
