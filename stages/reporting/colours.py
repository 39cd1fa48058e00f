"""The colours of charts and plots, the same in both."""

from collections.abc import Sequence
from itertools import cycle

# Okabe and Ito's, which most colour-blind readers tell apart, darker where one was too pale; and
# four more.
COLOURS = [
    *("#0072b2", "#d55e00", "#009e73", "#b65d94", "#8a6d00", "#56a0d6"),
    *("#c03a2b", "#4f4f4f", "#7a52c7", "#2c8c8c"),
]


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each name; after ten they return."""
    return dict(zip(names, cycle(COLOURS), strict=False))
