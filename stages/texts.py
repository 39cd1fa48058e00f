"""Texts as catalogues have them, made plain: no entities, no tags, no odd white space."""

import html
import re
import unicodedata
from html.entities import html5

# Only with their semicolon: "AT&T", "R&D" and "left&center" are no entities.
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")

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
_NOT_SHOWN = re.compile(r"<!--.*?-->|<(script|style)\b[^>]*>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)

# Control characters that are no white space, halves of surrogate pairs (no text can hold them), and
# what has no width: soft hyphen, zero-width space, word joiner, byte-order mark.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\u00ad\u200b\u2060\ufeff]"
)


def clean(text: str | None) -> str:
    """Return `text` as one line of plain text, empty where there is none.

    HTML entities are decoded (doubly encoded ones too), what is plainly a tag is dropped, control
    characters are removed, white space of any kind is folded to single spaces and stripped, and
    the rest is in Unicode's normal form C.
    """
    if not text:
        return ""
    text = _decode(text)
    if "<" in text:
        text = _NOT_SHOWN.sub(" ", text)
        text = _OTHER_TAG.sub(" ", _INLINE_TAG.sub("", text))
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).split())


def _decode(text: str) -> str:
    """Decode entities until none is left."""
    while "&" in text:
        decoded = _ENTITY.sub(_character, text)
        if decoded == text:
            break
        text = decoded
    return text


def _character(entity: re.Match[str]) -> str:
    """Return what an entity stands for, or the entity as it is where HTML has no such name."""
    known = entity[0].startswith("&#") or entity[0][1:] in html5
    return html.unescape(entity[0]) if known else entity[0]
