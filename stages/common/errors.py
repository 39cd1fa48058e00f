"""Errors that a user can mend."""

import re

# What may be secret in a URL: its user and password, and its query, where keys and signatures are.
# The look-behind, and a query that may be missing, keep the time linear: an image that a cell holds
# as text is one long word, and a cell may hold thousands of URLs in one.
_USER = re.compile(r"(?:(?<=://)[^\s/?#'\"]+|(?<![^\s/?#'\"@])(:*)[^\s/?#'\"@:]+:[^\s/?#'\"@]+)@")
_QUERY = re.compile(
    r"((?:https?|abfss?)://[^\s?#'\"]*)(?:[?#][^\s'\"]*(?<![;:,.)]))?", re.IGNORECASE
)


class InputError(ValueError):
    """An input is wrong: the message names it and says how to mend it.

    What may be secret in the URLs of the message is removed from it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(without_secrets(message))


class UnavailableError(InputError):
    """A service that is asked does not answer now: what was asked may succeed later."""


def without_secrets(text: str) -> str:
    """Return a text without what may be secret in its URLs."""
    return _QUERY.sub(r"\1", _USER.sub(r"\1", text))
