"""Tokens of a text in any script, to compare names and descriptions by."""

import regex

from stages.catalog.invisible_marks import drop_invisible
from stages.catalog.text_cleaning import decomposed, one_line

# Scripts that put no space between words, and so have no words to split at: each character with its
# marks is a token. A run of Katakana is mostly one word.
_NO_SPACES = r"\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_TOKEN = regex.compile(
    rf"(?=[{_NO_SPACES}])\X|[\p{{Katakana}}\u30fc]+"
    rf"|(?:(?![{_NO_SPACES}\p{{Katakana}}])[\w\p{{M}}])+"
)
_CHARACTER = regex.compile(rf"[{_NO_SPACES}]")

Tokens = tuple[str, ...]


def fold(text: str) -> str:
    """Return what texts have in common that differ in case, in width or in invisible marks."""
    if text.isascii():
        return text.casefold()
    return one_line(drop_invisible(decomposed(text)).casefold())


def tokenize(text: str) -> Tokens:
    """Return the tokens of a text as `fold` gives it, without what is between them.

    A token is a word, or a character in scripts that have no spaces between words.
    """
    return tuple(_TOKEN.findall(fold(text)))


def is_character(token: str) -> bool:
    """Return whether a token is a character of a script without spaces, and no word."""
    return _CHARACTER.match(token) is not None


def count_words(tokens: Tokens) -> float:
    """Return about how many words there are, two characters counted as a word."""
    return sum(0.5 if is_character(token) else 1.0 for token in tokens)
