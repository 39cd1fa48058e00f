"""Characters that nobody sees: zero-width joiners, direction marks, soft hyphens, fillers."""

import unicodedata

# Not in Unicode's category of format characters, but drawn as nothing as well: the combining
# grapheme joiner, fillers of Hangul and Khmer, Mongolian and other variation selectors, the blank
# of Braille.
_OTHERS = frozenset(
    [
        *"\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0",
        *map(chr, range(0xFE00, 0xFE10)),
        *map(chr, range(0xE0100, 0xE01F0)),
    ]
)


def is_invisible(character: str) -> bool:
    """Return whether a character is a format character, or drawn as nothing."""
    return unicodedata.category(character) == "Cf" or character in _OTHERS


def drop_invisible(text: str) -> str:
    """Return `text` without invisible characters."""
    if text.isascii():
        return text
    return text.translate(_KEPT)


class _Kept(dict[int, int | None]):
    """Characters as they are, and None for the invisible ones, as str.translate takes them."""

    def __missing__(self, code: int) -> int | None:
        self[code] = found = None if is_invisible(chr(code)) else code
        return found


_KEPT = _Kept()


def strip_invisible(text: str, others: str = "") -> str:
    """Strip white space, invisible characters and those of `others` from both ends of `text`."""

    def is_stripped(character: str) -> bool:
        return character.isspace() or character in others or is_invisible(character)

    start, end = 0, len(text)
    while start < end and is_stripped(text[start]):
        start += 1
    while end > start and is_stripped(text[end - 1]):
        end -= 1
    return text[start:end]
