"""Get images by reference: from hosts, the archive, tables, files and the demo."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeGuard

from stages.common.errors import InputError
from stages.common.image_ref import ImageRef, Scheme, is_url
from stages.compute.selection import Compute, select_workers
from stages.download.archives import read_members
from stages.download.client import Hosts
from stages.download.distributed import fetch_on
from stages.download.embedded_images import read_embedded
from stages.download.failures import Failure
from stages.download.files import fetch_file
from stages.download.image_cache import ImageCache, Result
from stages.download.image_conversion import to_jpeg
from stages.download.local_images import convert, find_files, load_local, path_below
from stages.download.many import fetch_many
from stages.download.name_lookup import NameMatcher
from stages.download.progress import image_bar
from stages.download.settings import DownloadSettings

CACHE_FILE = "images.sqlite"
CACHE_BATCH = 500  # rows of the cache that are read together
FAILED = 10_000  # URLs that are known to have failed, the last ones: rows may share one
UNPACK_BATCH = 8  # images of an archive or a table that are in memory together

Reference = ImageRef | Failure | None  # Failure where the text is not a reference


@dataclass(frozen=True)
class Catalogue:
    """Where images are: a folder, a mirror that stands in for all hosts, and an archive.

    The archive is a path in the folder, a URL or a link to Google Drive.
    """

    folder: Path
    mirror: str | None
    archive: str | None


class ImageLoader:
    """Gets the images of one catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        settings: DownloadSettings,
        size: int,
        threads: Executor,
        has_bars: bool = True,
        compute: Compute = "local",
    ) -> None:
        """Images are converted to `size` pixels in `threads`; `has_bars` shows the progress.

        With `compute` ray, the machines of a cluster fetch and convert the images with a URL.
        """
        self._catalogue = catalogue
        self._settings = settings
        self._size = size
        self._threads = threads
        self._bar = partial(image_bar, is_shown=has_bars)
        self._compute = compute
        folder = catalogue.folder
        self._matcher = NameMatcher([folder.as_posix(), folder.resolve().as_posix()])
        self._files: dict[str, Path | Failure] = {}
        self._hosts: Hosts = {}
        self._failed: dict[ImageRef, None] = {}  # URLs that this loader asked for
        self.n_not_retried = 0  # URLs that failed in an earlier run and are not requested again

    @property
    def guessed(self) -> Counter[str]:
        """How many paths and names were no exact ones but could be guessed, by how."""
        return self._matcher.guessed

    def find(self, references: Iterable[Reference]) -> None:
        """Find the files in the catalogue's folder."""
        locations = [ref.location for ref in references if _has_scheme(ref, "file")]
        self._files = find_files(locations, self._catalogue.folder, self._matcher)

    def fetch(self, references: Iterable[Reference], cache: ImageCache) -> None:
        """Fetch the images with a URL that are not in `cache` yet, and put them there.

        What failed in an earlier call is not asked for again.
        """
        urls = [ref for ref in dict.fromkeys(references) if _has_scheme(ref, "url")]
        missing, self.n_not_retried = self._missing(urls, cache)
        if not missing:
            return
        n_cached = len(urls) - len(missing)
        workers = select_workers(self._compute)
        fetch = partial(fetch_many, threads=self._threads, hosts=self._hosts)
        if workers is not None:
            fetch = partial(fetch_on, workers)
        with self._bar("fetching", len(urls), n_cached, self.n_not_retried) as show:

            def keep(url: str, result: Result) -> None:
                reference = ImageRef("url", url)
                cache.put_many([(reference, result)])
                if isinstance(result, Failure):
                    self._failed[reference] = None
                    if len(self._failed) > FAILED:
                        del self._failed[next(iter(self._failed))]
                show(result)

            fetch(
                [reference.location for reference in missing],
                partial(to_jpeg, size=self._size),
                keep,
                mirror=self._catalogue.mirror,
                settings=self._settings,
            )

    def unpack(self, references: Iterable[Reference], cache: ImageCache) -> None:
        """Put the images in the archive and in tables into `cache`."""
        unique = dict.fromkeys(references)
        limit, folder = self._settings.max_bytes, self._catalogue.folder
        if names := [ref.location for ref in unique if _has_scheme(ref, "archive")]:
            members = read_members(self._archive(), names, limit, self._matcher)
            self._unpack("archive", members, len(names), cache)
        if cells := [ref.location for ref in unique if _has_scheme(ref, "embedded")]:
            self._unpack("embedded", read_embedded(cells, folder, limit), len(cells), cache)

    def _unpack(
        self,
        scheme: Scheme,
        images: Iterator[tuple[str, bytes | Failure]],
        total: int,
        cache: ImageCache,
    ) -> None:
        """Convert images, by location, and put them into `cache`."""
        with self._bar("unpacking", total) as show:
            while batch := list(itertools.islice(images, UNPACK_BATCH)):
                contents = [content for _, content in batch]
                results = list(self._threads.map(partial(convert, size=self._size), contents))
                cache.put_many(
                    (ImageRef(scheme, location), result)
                    for (location, _), result in zip(batch, results, strict=True)
                )
                for result in results:
                    show(result)

    def load(
        self, references: Sequence[Reference], caches: Sequence[ImageCache]
    ) -> Iterator[Result | None]:
        """Yield the result for each reference, None where there is none.

        All but files and drawings are in one of the `caches`; files were found before.
        """
        cached = [ref for ref in references if _has_scheme(ref, "url", "archive", "embedded")]
        known = {ref: result for cache in caches for ref, result in cache.get_many(cached).items()}
        local = self._threads.map(
            partial(
                load_local,
                files=self._files,
                max_bytes=self._settings.max_bytes,
                size=self._size,
            ),
            [ref for ref in references if _has_scheme(ref, "file", "demo")],
        )
        for reference in references:
            if not isinstance(reference, ImageRef):
                yield reference
            elif _has_scheme(reference, "file", "demo"):
                yield next(local)
            elif reference in known:
                yield known[reference]
            else:
                raise InputError(f"{CACHE_FILE} has lost images meanwhile: run `dvc repro` again")

    def _missing(self, urls: Sequence[ImageRef], cache: ImageCache) -> tuple[list[ImageRef], int]:
        """Return the URLs to fetch, and how many of the others failed in an earlier run."""
        missing, n_failed = [], 0
        for start in range(0, len(urls), CACHE_BATCH):
            batch = urls[start : start + CACHE_BATCH]
            known = cache.get_many(batch)
            for url in batch:
                has_failed = isinstance(known.get(url), Failure)
                is_retried = self._settings.retry_failed and url not in self._failed
                if url not in known or (has_failed and is_retried):
                    missing.append(url)
                else:
                    n_failed += has_failed
        return missing, n_failed

    def _archive(self) -> Path:
        """Return the path of the archive; fetch it if it has a URL."""
        name, folder = self._catalogue.archive, self._catalogue.folder
        if name is None:
            raise InputError("products name members of an archive, but data.table.archive is null")
        if is_url(name):
            return fetch_file(name, mirror=self._catalogue.mirror, settings=self._settings)
        path = path_below(folder, name)
        if path is None:
            raise InputError(f"data.table.archive is {name!r}, which is outside {folder}")
        return path


def _has_scheme(reference: Reference, *schemes: Scheme) -> TypeGuard[ImageRef]:
    return isinstance(reference, ImageRef) and reference.scheme in schemes
