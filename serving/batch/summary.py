"""What became of the rows, in a line."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from serving.answers import FILE

N_REASONS = 3  # that are listed, the most common ones


@dataclass
class Summary:
    """How many rows there are, are filed, have no answer, or have an image that failed, and why."""

    n_rows: int = 0
    n_filed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    image_errors: Counter[str] = field(default_factory=Counter)

    def counted(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield the tables, and count their rows."""
        for table in tables:
            self.n_rows += len(table)
            self.n_filed += table["decision"].to_pylist().count(FILE)
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
        return words


def _reasons(counter: Counter[str]) -> str:
    """Return the most common reasons with their numbers, in brackets."""
    listed = [f"{reason}: {count:,}" for reason, count in counter.most_common(N_REASONS)]
    if len(counter) > N_REASONS:
        listed.append("...")
    return f" ({'; '.join(listed)})" if listed else ""
