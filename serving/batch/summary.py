"""What became of the rows, in a line."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from serving.answers import FILE
from stages.catalog.skus import is_rounded

N_REASONS = 3  # that are listed, the most common ones


@dataclass
class Summary:
    """How many rows there are, are filed, have no answer, or have an image that failed, and why.

    `n_rounded` of their SKUs look as if a spreadsheet had rounded them.
    """

    n_rows: int = 0
    n_filed: int = 0
    n_rounded: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    image_errors: Counter[str] = field(default_factory=Counter)

    def counted(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield the tables, and count their rows."""
        for table in tables:
            self.n_rows += len(table)
            self.n_filed += table["decision"].to_pylist().count(FILE)
            self.n_rounded += sum(map(is_rounded, table["sku"].drop_null().to_pylist()))
            # What follows a colon and a space is the fix, or differs from row to row.
            for counter, name in ((self.errors, "error"), (self.image_errors, "image_error")):
                counter.update(
                    reason.partition(": ")[0] for reason in table[name].drop_null().to_pylist()
                )
            yield table

    def words(self) -> str:
        """Return the counts in words."""
        n_failed = self.errors.total()
        n_asked = self.n_rows - self.n_filed - n_failed
        words = (
            f"{self.n_rows:,} rows: {self.n_filed:,} filed, {n_asked:,} for a person to decide, "
            f"{n_failed:,} without an answer{_reasons(self.errors)}"
        )
        if self.image_errors:
            n_images = self.image_errors.total()
            words += f"; {n_images:,} images could not be used{_reasons(self.image_errors)}"
        if self.n_rounded > 1:
            words += (
                f"; {self.n_rounded:,} SKUs look as if a spreadsheet had rounded them, so "
                "different products have the same SKU: export the table again, with the column of "
                "SKUs as text"
            )
        return words


def _reasons(counter: Counter[str]) -> str:
    """Return the most common reasons with their numbers, in brackets."""
    listed = [f"{reason}: {count:,}" for reason, count in counter.most_common(N_REASONS)]
    if len(counter) > N_REASONS:
        listed.append("...")
    return f" ({'; '.join(listed)})" if listed else ""
