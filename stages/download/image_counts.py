"""How many products have an image, none, or one that failed, and why."""

from collections import Counter

from stages.common.errors import InputError

N_REASONS = 5  # that a message lists, the most common ones

Counts = Counter[tuple[str, str | None]]  # products by status and reason


def check_failures(counts: Counts, max_failed: float) -> None:
    """Raise InputError where more than the share `max_failed` of the images failed."""
    failed = _count(counts, "failed")
    n_images = failed + _count(counts, "ok")
    if failed > max_failed * n_images:
        raise InputError(
            f"{failed:,} of {n_images:,} images failed ({_reasons(counts)}), and "
            f"download.max_failed allows a share of {max_failed:g}: fix what the reasons name and "
            "set download.retry_failed to true, which asks again only for the failed images; or "
            "raise download.max_failed"
        )


def count_words(counts: Counts) -> str:
    """Return how many products there are of each status, and how many failed for each reason."""
    failed = f"{_count(counts, 'failed'):,} failed"
    if reasons := _reasons(counts):
        failed += f" ({reasons})"
    return f"{_count(counts, 'ok'):,} ok, {failed}, {_count(counts, 'none'):,} without an image"


def _count(counts: Counts, status: str) -> int:
    return sum(count for (found, _), count in counts.items() if found == status)


def _reasons(counts: Counts) -> str:
    """Return the reasons of failures with their numbers, the most common first."""
    failed = [
        (count, reason or "") for (status, reason), count in counts.items() if status == "failed"
    ]
    failed.sort(key=lambda entry: (-entry[0], entry[1]))
    shown = [f"{reason}: {count:,}" for count, reason in failed[:N_REASONS]]
    if others := sum(count for count, _ in failed[N_REASONS:]):
        shown.append(f"others: {others:,}")
    return "; ".join(shown)
