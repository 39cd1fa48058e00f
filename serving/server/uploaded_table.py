"""A table that came as a CSV and goes back as one, with its predictions."""

import codecs
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.answers import Candidate, Prediction

ANSWERS = (
    "prediction",
    "probability",
    "decision",
    "image_prediction",
    "text_prediction",
    "error",
)


@dataclass(frozen=True)
class UploadedTable:
    """A table whose rows are as long as its header.

    `columns` has the place of each text that the header names, by name, description and
    manufacturer. `faults` has what is wrong with a row, by its place in `rows`. `notes` say what
    the sender should know.
    """

    header: list[str]
    rows: list[list[str]]
    separator: str
    columns: Mapping[str, int]
    faults: Mapping[int, str]
    notes: list[str]

    def texts(self, i: int) -> dict[str, str]:
        """Return the texts of a row."""
        return {key: self.rows[i][at] for key, at in self.columns.items()}

    def head(self) -> bytes:
        """Return the first line of the answer: the header and the columns of `ANSWERS`.

        A name that the table has gets a number. The mark of UTF-8 is for Excel.
        """
        taken = {name.casefold() for name in self.header}
        return codecs.BOM_UTF8 + self._lines([[*self.header, *(_free(n, taken) for n in ANSWERS)]])

    def lines(self, start: int, predictions: Sequence[Prediction]) -> bytes:
        """Return the rows from `start` on with their predictions."""
        return self._lines(
            [*self.rows[i], *_cells(prediction)] for i, prediction in enumerate(predictions, start)
        )

    def _lines(self, rows: Iterable[Sequence[Any]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self.separator).writerows(rows)
        return text.getvalue().encode("utf-8", "replace")


def _free(name: str, taken: set[str]) -> str:
    """Return a name that no column has."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _cells(prediction: Prediction) -> list[Any]:
    """Return the cells of `ANSWERS`."""
    return [
        prediction.label,
        None if prediction.probability is None else round(prediction.probability, 6),
        prediction.decision,
        _label(prediction.image),
        _label(prediction.text),
        prediction.error,
    ]


def _label(candidate: Candidate | None) -> str | None:
    return candidate.label if candidate else None
