"""Errors that a user can mend, and how a stage ends on one."""

import sys
from collections.abc import Callable


class InputError(ValueError):
    """Something the user gave is wrong: the message names it and says how to mend it."""


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's `main`; on an error that the user can mend, say it in one line and exit 1."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        # A full disk, a folder that may not be written to: the system's words say it all.
        sys.exit(f"error: {error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: run `dvc repro` again to go on")
