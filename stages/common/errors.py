"""Errors that a user can mend, and how a stage ends on one."""

import re
import sys
from collections.abc import Callable

# What may be secret in a URL: its user and password, and its query, where keys and signatures are.
_USER = re.compile(r"(?:(?<=://)[^\s/?#'\"]+|[^\s/?#'\"@:]+:[^\s/?#'\"@]+)@")
_QUERY = re.compile(r"(https?://[^\s?#'\"]*)[?#][^\s'\"]*(?<![;:,.)])", re.IGNORECASE)


class InputError(ValueError):
    """Something the user gave is wrong: the message names it and says how to mend it.

    What may be secret in the URLs of the message is left out of it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_QUERY.sub(r"\1", _USER.sub("", message)))


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's `main`; on an error that the user can mend, say it in one line and exit 1."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        # A full disk, a folder that may not be written to: the system's words say it all.
        sys.exit(f"error: {error.filename or 'a file'}: {error.strerror or error}")
