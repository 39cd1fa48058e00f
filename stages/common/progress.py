"""Progress bars on standard error."""

import sys
from typing import Any

from tqdm import tqdm

SHOWN_S = 0.1  # seconds between two states of a bar on a terminal,
LOGGED_S = 10.0  # and elsewhere, where each of them stays


def progress_bar(name: str, unit: str, total: int | None = None, **options: Any) -> tqdm:
    """Return a bar that counts in a unit, with more of tqdm's options; a log has few of its states.

    The first state and the last are in a log too.
    """
    interval = SHOWN_S if sys.stderr.isatty() else LOGGED_S
    return tqdm(total=total, desc=name, unit=unit, mininterval=interval, **options)
