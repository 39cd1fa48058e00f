"""Texts as catalogues have them, made plain: no entities, no tags, no odd white space."""

import html
import re
import unicodedata
from html.entities import html5

# Only with their semicolon: "AT&T", "R&D" and "left&center" are no entities.
_ENTITY = re.compile(r"&(?:#[0-9]{1,9}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]*);")
_DEPTH = 5  # how often a text may have been encoded

# Only elements that HTML knows, with attributes that have values: "<3", "5 < 6 > 4" and "<Brand>"
# are text. What is inline joins what stands around it (H<sub>2</sub>O), the others part it.
_INLINE = "a|abbr|b|big|cite|code|del|em|font|i|ins|mark|s|small|span|strike|strong|sub|sup|tt|u"
_OTHER = (
    "article|blockquote|body|br|button|caption|center|col|colgroup|dd|div|dl|dt|fieldset|figcaption"
    "|figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|label|li|link|main|meta|nav"
    "|object|ol|option|p|param|pre|section|select|style|script|table|tbody|td|tfoot|th|thead|title"
    "|tr|ul|video"
)
_TAG = (
    r"<(?:(?:{names})(?:\s+[\w:-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>]+))*\s*/?"
    r"|/(?:{names})\s*)>"
)
_INLINE_TAG = re.compile(_TAG.format(names=_INLINE), re.IGNORECASE)
_OTHER_TAG = re.compile(_TAG.format(names=_OTHER), re.IGNORECASE)
# What is not shown, whole, and how it ends.
_NOT_SHOWN = [
    (re.compile(f"{start}.*?{end}", re.IGNORECASE | re.DOTALL), re.compile(end, re.IGNORECASE))
    for start, end in (
        ("<!--", "-->"),
        (r"<script\b[^>]*>", r"</script\s*>"),
        (r"<style\b[^>]*>", r"</style\s*>"),
    )
]

# Control characters that are no white space, halves of surrogate pairs (no text can hold them), and
# what has no width: soft hyphen, zero-width space, word joiner, byte-order mark.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\u00ad\u200b\u2060\ufeff]"
)

_LONGEST_WORD = 2000  # characters; to normalise one takes time by the square of its marks


def clean(text: str | None) -> str:
    """Return `text` as one line of plain text, empty where there is none.

    HTML entities are decoded (those encoded up to five times too), what is plainly a tag is
    dropped, control characters are removed, white space of any kind is folded to single spaces and
    stripped, and the rest is in Unicode's normal form C, but for words of more than 2,000
    characters. The time that it takes grows as the text does, whatever it is made of.
    """
    if not text:
        return ""
    text = _decode(text)
    if "<" in text:
        for hidden, end in _NOT_SHOWN:
            text = _without(hidden, end, text)
        text = _OTHER_TAG.sub(" ", _INLINE_TAG.sub("", text))
    return " ".join(map(_composed, _INVISIBLE.sub("", text).split()))


def _without(hidden: re.Pattern[str], end: re.Pattern[str], text: str) -> str:
    """Blank out what is hidden, looking only up to its last end: beyond, each search is in vain."""
    last = 0
    for found in end.finditer(text):
        last = found.end()
    return hidden.sub(" ", text[:last]) + text[last:]


def _composed(word: str) -> str:
    """Return a word in normal form C; one that is too long to be normalised stays as it is."""
    return unicodedata.normalize("NFC", word) if len(word) <= _LONGEST_WORD else word


def _decode(text: str) -> str:
    """Decode entities until none is left, or until that is no longer what an encoder did."""
    for _ in range(_DEPTH):
        decoded = _ENTITY.sub(_character, text)
        if decoded == text:
            break
        text = decoded
    return text


def _character(entity: re.Match[str]) -> str:
    """Return what an entity stands for, or the entity as it is where HTML has no such name."""
    known = entity[0].startswith("&#") or entity[0][1:] in html5
    return html.unescape(entity[0]) if known else entity[0]
