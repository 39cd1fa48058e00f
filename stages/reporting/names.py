"""Names of classes and models where there is little room."""

from bisect import bisect_right
from itertools import accumulate
from unicodedata import east_asian_width

MAX_SIGN = 16  # characters: no emoji has more, but hostile texts pile up thousands of marks


def shortened(name: str, columns: int = 28) -> str:
    """Return a name on one line, without its middle where it is wider than so many Latin letters.

    Paths of categories begin alike, and it is their ends that tell them apart.
    """
    import regex

    signs = [sign[:MAX_SIGN] for sign in regex.findall(r"\X", " ".join(name.split()))]
    widths = [1 + is_wide(sign[0]) for sign in signs]
    if sum(widths) <= columns:
        return "".join(signs)
    head = bisect_right(list(accumulate(widths)), (columns - 1) // 2)
    tail = bisect_right(list(accumulate(reversed(widths))), columns // 2)
    return f"{''.join(signs[:head]).rstrip()}…{''.join(signs[-tail:]).lstrip()}"


def is_wide(sign: str) -> bool:
    """Return whether a sign is as wide as two letters, as Chinese, Japanese and Korean ones are."""
    return east_asian_width(sign) in "WF"
