"""Labels: cleaned, and spelt alike where they look alike."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

from stages.catalog.invisible_marks import drop_invisible
from stages.catalog.missing_values import looks_missing
from stages.catalog.text_cleaning import clean, decode_entities, decomposed, one_line

# DVC writes labels into a script of its page of plots as they are: these would end it.
_SCRIPT = re.compile(r"<(?=/?script)", re.IGNORECASE)
_MAX_LABEL = 2000  # characters; the time to normalise a text grows as the square of its marks


def clean_label(text: str | None) -> str:
    """Return a label as one line of plain text without invisible marks, empty where there is none.

    A label that is only markup, such as `<Table>`, keeps it: it is a name, and no HTML. What would
    start or end a script has another bracket: `‹script>`.
    """
    label = one_line(drop_invisible(clean(text, written_breaks=False)))
    return _SCRIPT.sub("‹", label or one_line(drop_invisible(decode_entities(text or ""))))


def label_variants(labels: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return the labels that look alike, by the spelling that stands for them.

    Labels look alike if they are equal but for case, width and other compatible forms, and
    invisible marks. The commonest spelling stands for all, of two the first in alphabetical order.
    Returns {spelling: {each spelling: how many labels}}, the commonest first.
    """
    alike: dict[str, Counter[str]] = defaultdict(Counter)
    for label, count in Counter(filter(None, labels)).items():
        alike[look(label)][label] += count
    spellings = [
        dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
        for counts in alike.values()
        if len(counts) > 1
    ]
    return {next(iter(counts)): counts for counts in sorted(spellings, key=list)}


def missing_labels(labels: Iterable[str]) -> dict[str, int]:
    """Return the labels that look like missing values, and how many there are of each."""
    counts = Counter(filter(None, labels))
    found = [(label, count) for label, count in counts.items() if looks_missing(label)]
    return dict(sorted(found, key=lambda item: (-item[1], item[0])))


def look(label: str) -> str:
    """Return what labels that look alike have in common: a compatible form and case folding."""
    if len(label) > _MAX_LABEL:
        return label.casefold()
    folded = _compatible(_compatible(label).casefold())
    return " ".join(drop_invisible(folded).split()) or label


def _compatible(text: str) -> str:
    """Return the NFKC form of a text, in which superscripts and their like stay as they are."""
    return unicodedata.normalize("NFC", decomposed(text))
