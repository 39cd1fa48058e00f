"""How many products have an image, none, or one that failed, and why."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from stages.common.errors import InputError

N_REASONS = 5  # that a message lists, the most common ones
N_EXAMPLES = 3


class FailedImage(NamedTuple):
    """A row of data/failed_images.csv; `reference` is what the catalogue says of the image."""

    sku: str
    reference: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What became of the images: how many are there, how many products have none, which failed.

    `guessed` counts the paths and names that were no exact ones, by how they were guessed.
    `imageless` has the number of products of each class that has no image, where others have one.
    `n_not_retried` counts the URLs that failed in an earlier run and were not requested again.
    """

    n_ok: int
    n_none: int
    failed: Sequence[FailedImage]
    guessed: Counter[str]
    imageless: Mapping[str, int]
    n_not_retried: int = 0

    @cached_property
    def reasons(self) -> dict[str, int]:
        """The number of failed images by reason, the most common reason first."""
        return _by_count(Counter(image.reason for image in self.failed))

    def metrics(self) -> dict[str, Any]:
        """Return the content of metrics/images.json."""
        return {
            "products": {"ok": self.n_ok, "failed": len(self.failed), "none": self.n_none},
            "failed": self.reasons,
            "guessed": _by_count(self.guessed),
            "classes_without_image": _by_count(self.imageless),
        }

    def words(self) -> str:
        """Return what a user wants to know of it, in words."""
        reasons = f" ({_listed(self.reasons)})" if self.failed else ""
        words = (
            f"{self.n_ok:,} ok, {len(self.failed):,} failed{reasons}, "
            f"{self.n_none:,} without an image"
        )
        if self.n_not_retried:
            words += (
                "; URLs that failed in an earlier run and were not requested again: "
                f"{self.n_not_retried:,} (set download.retry_failed to true to do so)"
            )
        if self.guessed:
            words += (
                f"; {self.guessed.total():,} matched by a guess, the only file that fits "
                f"({_listed(_by_count(self.guessed))})"
            )
        if self.imageless:
            words += (
                f"; classes of which no product has an image: {len(self.imageless):,} "
                f"({_listed(_by_count(self.imageless))})"
            )
        return words


def check_failures(outcome: Outcome, max_failed: float, file: Path) -> None:
    """Raise InputError where more than the share `max_failed` of the images failed.

    `file` lists them all.
    """
    n_failed = len(outcome.failed)
    n_images = n_failed + outcome.n_ok
    if n_failed > max_failed * n_images:
        raise InputError(
            f"{n_failed:,} of {n_images:,} images failed ({_listed(outcome.reasons)}), and "
            f"download.max_failed allows a share of {max_failed:g}. Examples: "
            f"{'; '.join(map(_words, _examples(outcome)))}. {file} lists all of them: fix what the "
            "reasons name and set download.retry_failed to true, which asks again only for the "
            "failed images; or raise download.max_failed"
        )


def _words(image: FailedImage) -> str:
    return f"{image.reference!r} of SKU {image.sku!r} ({image.reason})"


def _examples(outcome: Outcome) -> list[FailedImage]:
    """Return a failed image for each of the most common reasons, then others."""
    first: dict[str, FailedImage] = {}
    others = []
    for image in outcome.failed:
        if image.reason in first:
            others.append(image)
        else:
            first[image.reason] = image
    return [*(first[reason] for reason in outcome.reasons), *others][:N_EXAMPLES]


def _by_count(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))


def _listed(counts: dict[str, int]) -> str:
    """Return the first of some sorted reasons with their numbers, and the number of the others."""
    entries = list(counts.items())
    shown = [f"{reason}: {count:,}" for reason, count in entries[:N_REASONS]]
    if others := sum(count for _, count in entries[N_REASONS:]):
        shown.append(f"others: {others:,}")
    return "; ".join(shown)
