"""Fetch many images by the machines of a cluster, which share the limits of requests."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from stages.compute.base import Workers
from stages.download.client import NEVER_ANSWERED
from stages.download.failures import Failure
from stages.download.many import Convert, Keep, fetch_many, host_of
from stages.download.settings import DownloadSettings

BATCH = 2048  # URLs that a machine gets at once, at most: what is asked for again after a kill
BATCHES = 4  # that a machine gets of a small catalogue

Results = dict[str, bytes | Failure]


def fetch_on(
    workers: Workers,
    urls: Sequence[str],
    convert: Convert,
    keep: Keep,
    *,
    mirror: str | None,
    settings: DownloadSettings,
) -> None:
    """Do as `fetch_many` by `workers`, and pass what a machine has fetched to `keep` together.

    `settings.concurrency` and `settings.per_host` are limits of all machines: each has its share,
    so that no more machines than `per_host` take part. A host that never answered one machine is
    not asked by the others any more.
    """
    n = min(workers.n, settings.per_host, settings.concurrency)
    limits = {"concurrency": settings.concurrency // n, "per_host": settings.per_host // n}
    size = max(1, min(BATCH, len(urls) // (n * BATCHES)))
    silent: set[str] = set()

    def batches() -> Iterator[list[str]]:
        """Yield the URLs in batches; those that are next to each other go to several machines."""
        for start in range(0, len(urls), n * size):
            window = urls[start : start + n * size]
            for first in range(min(n, len(window))):
                batch = []
                for url in window[first::n]:
                    if host_of(url, mirror) in silent:
                        keep(url, Failure(NEVER_ANSWERED))
                    else:
                        batch.append(url)
                if batch:
                    yield batch

    fetch = partial(_fetch, convert, mirror, settings.model_copy(update=limits))
    for results in workers.map_unordered(fetch, batches(), at_most=n):
        for url, result in results.items():
            if result == Failure(NEVER_ANSWERED):
                silent.add(host_of(url, mirror))
            keep(url, result)


def _fetch(
    convert: Convert, mirror: str | None, settings: DownloadSettings, urls: Sequence[str]
) -> Results:
    """Return what becomes of URLs on this machine."""
    results: Results = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        fetch_many(
            urls,
            convert,
            results.__setitem__,
            mirror=mirror,
            settings=settings,
            threads=threads,
        )
    return results
