"""SKUs that a spreadsheet has rounded."""

import re
from collections.abc import Sequence

from stages.common.errors import InputError

# How spreadsheets write a number that is too long for them: 4.00638E+12, with a comma in some
# languages.
_ROUNDED = re.compile(r"[+-]?\d(?:[.,]\d+)?E\+\d{2,3}", re.IGNORECASE)


def is_rounded(sku: str) -> bool:
    """Return whether a SKU looks as if a spreadsheet had rounded it."""
    return _ROUNDED.fullmatch(sku) is not None


def check_skus(skus: Sequence[str]) -> None:
    """Raise InputError where more than one SKU looks as if a spreadsheet had rounded it."""
    rounded = [row for row, sku in enumerate(skus) if is_rounded(sku)]
    if len(rounded) > 1:
        raise InputError(
            f"{len(rounded):,} of {len(skus):,} SKUs look as if a spreadsheet had rounded them, "
            f"such as {skus[rounded[0]]!r} of product {rounded[0] + 1:,}, so different products "
            "have the same SKU: export the table again, with the column of SKUs as text"
        )
