"""Turn text of catalogues into plain text: no entities, no tags, no odd white space."""

import html
import re
import unicodedata
from html.entities import html5

# Only with the semicolon: "AT&T", "R&D" and "left&center" are not entities.
_ENTITY = re.compile(r"&(?:#[0-9]{1,9}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]*);")
_DEPTH = 5  # how many times text may be encoded

# Only elements of HTML, with attributes that have values or need none: "<3", "5 < 6 > 4", "<Brand>"
# and "<b and c>" are text.
# An inline element does not separate words (H<sub>2</sub>O), the others do.
_INLINE = (
    "a|abbr|b|big|cite|code|del|em|font|i|ins|mark|o:p|s|small|span|strike|strong|sub|sup|tt|u|wbr"
)
_OTHER = (
    "address|article|blockquote|body|br|button|caption|center|col|colgroup|dd|details|div|dl|dt"
    "|fieldset|figcaption|figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|label|li"
    "|link|main|meta|nav|object|ol|option|p|param|path|picture|pre|section|select|source|style"
    "|script|summary|svg|table|tbody|td|tfoot|th|thead|title|tr|ul|video"
)
_ALONE = (
    r"allowfullscreen|async|autoplay|checked|compact|controls|data-[\w-]+|default|defer|disabled"
    r"|download|hidden|itemscope|loop|multiple|muted|noshade|novalidate|nowrap|open|playsinline"
    r"|readonly|required|reversed|selected"
)
_TAG = (
    r"<(?:(?:{names})(?:(?:\s+|(?<=[\"']))[\w:-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>]+)"
    r"|(?:\s+|(?<=[\"']))(?:{alone})(?![^\s/>]))*\s*/?"
    r"|/(?:{names})\s*)>"
)
# Also Word's conditions: `<![if !supportLists]>`, `<![endif]>`.
_DECLARATION = re.compile(
    r"<(?:(?:!doctype|\?xml)\b[^<>]*|!\[(?:if\b[^<>]*|endif)\])>", re.IGNORECASE
)
_INLINE_TAG = re.compile(_TAG.format(names=_INLINE, alone=_ALONE), re.IGNORECASE)
_OTHER_TAG = re.compile(_TAG.format(names=_OTHER, alone=_ALONE), re.IGNORECASE)
# Elements whose content a browser does not show, and how they end.
_NOT_SHOWN = [
    (re.compile(f"{start}.*?{end}", re.IGNORECASE | re.DOTALL), re.compile(end, re.IGNORECASE))
    for start, end in (
        ("<!--", "-->"),
        (r"<script\b[^<>]*>", r"</script\s*>"),
        (r"<style\b[^<>]*>", r"</style\s*>"),
    )
]

# Control characters that are not white space; halves of surrogate pairs, which are no text; and
# characters without width: soft hyphen, zero-width space, word joiner, byte-order mark.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\u00ad\u200b\u2060\ufeff]"
)

# A line break as WooCommerce exports it; `C:\new` is a path.
_WRITTEN_BREAK = re.compile(r"(?<!\\)(?<!\b[A-Za-z]:)\\n")

# Compatible forms that say something else: "10²" is not "102".
_OTHER_MEANING = ("<super>", "<sub>", "<fraction>")

_MAX_WORD = 2000  # characters; the time to normalise a word grows as the square of its marks


def clean(text: str | None, *, written_breaks: bool = True) -> str:
    r"""Return `text` as one line of plain text, empty where there is none.

    Decode HTML entities, also if they were encoded up to five times. Remove tags and control
    characters. Replace any white space by single spaces, and so a written `\n` where there may be
    `written_breaks`. Bring words of up to 2,000 characters into Unicode's normal form C. The time
    grows linearly with the text, whatever it contains.
    """
    if not text:
        return ""
    text = decode_entities(text)
    if written_breaks:
        text = _WRITTEN_BREAK.sub(" ", text)
    if "<" in text:
        for hidden, end in _NOT_SHOWN:
            text = _without(hidden, end, text)
        if "<![CDATA[" in text:  # what is in it is shown
            text = text.replace("<![CDATA[", " ").replace("]]>", " ")
        text = _DECLARATION.sub(" ", text)
        text = _OTHER_TAG.sub(" ", _INLINE_TAG.sub("", text))
    return one_line(text)


def one_line(text: str) -> str:
    """Return `text` with single spaces, in normal form C, without control characters."""
    return " ".join(map(_composed, _INVISIBLE.sub("", text).split()))


def decomposed(text: str) -> str:
    """Return the NFKD form of each character, but for superscripts and their like."""
    return text if text.isascii() else text.translate(_DECOMPOSED)


class _Decomposed(dict[int, str]):
    """The forms of characters, as str.translate takes them."""

    def __missing__(self, code: int) -> str:
        one = chr(code)
        is_other = unicodedata.decomposition(one).startswith(_OTHER_MEANING)
        self[code] = found = one if is_other else unicodedata.normalize("NFKD", one)
        return found


_DECOMPOSED = _Decomposed()


def _without(hidden: re.Pattern[str], end: re.Pattern[str], text: str) -> str:
    """Replace what is hidden by spaces. Search only up to its last end: none can match beyond."""
    last = 0
    for found in end.finditer(text):
        last = found.end()
    return hidden.sub(" ", text[:last]) + text[last:]


def _composed(word: str) -> str:
    """Return a word in normal form C; a word that is too long stays as it is."""
    return unicodedata.normalize("NFC", word) if len(word) <= _MAX_WORD else word


def decode_entities(text: str) -> str:
    """Decode HTML entities until none is left, at most _DEPTH times."""
    for _ in range(_DEPTH):
        decoded = _ENTITY.sub(_character, text)
        if decoded == text:
            break
        text = decoded
    return text


def _character(entity: re.Match[str]) -> str:
    """Return the character of an entity, or the entity itself if HTML has no such name."""
    known = entity[0].startswith("&#") or entity[0][1:] in html5
    return html.unescape(entity[0]) if known else entity[0]
