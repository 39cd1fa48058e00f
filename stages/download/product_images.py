"""Get the image of every product, wherever it is, and write all images to a few Parquet files."""

import hashlib
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import pyarrow as pa

from stages.common.cache import cache_folder
from stages.common.errors import InputError
from stages.common.files import atomic_folder
from stages.common.image_ref import ImageRef, Scheme, is_url
from stages.common.kv_store import SqliteCache
from stages.common.tables import IMAGES, write_table
from stages.download.archives import read_members
from stages.download.failures import Failure
from stages.download.files import fetch_file
from stages.download.image_cache import ImageCache, Result
from stages.download.image_conversion import to_jpeg
from stages.download.image_counts import Counts, check_failures
from stages.download.local_images import convert, load_local, path_inside
from stages.download.many import fetch_many
from stages.download.perceptual_hash import perceptual_hash
from stages.download.progress import image_bar
from stages.download.settings import DownloadSettings

CACHE_FILE = "images.sqlite"
CACHE_BATCH = 500  # rows of the cache that are read together
ARCHIVE_BATCH = 8  # members of an archive that are in memory together

Reference = ImageRef | Failure | None  # Failure where the text is not a reference


@dataclass(frozen=True)
class Catalogue:
    """Where images are: a folder, a mirror that stands in for all hosts, and an archive.

    The archive is a path in the folder, a URL or a link to Google Drive.
    """

    folder: Path
    mirror: str | None
    archive: str | None


def write_product_images(
    products: pa.Table, folder: Path, catalogue: Catalogue, settings: DownloadSettings, size: int
) -> Counts:
    """Write a row of `tables.IMAGES` for each product, in their order, to shards in `folder`.

    `products` is a table of `tables.PRODUCTS`; `size` is the side of the images in pixels. What is
    fetched is cached, so that a run that was interrupted continues where it stopped. Return the
    number of products by status and reason.

    Raises InputError where too many images failed; then `folder` stays as it was.
    """
    references = [_parse(text) for text in products["image"].to_pylist()]
    with (
        ThreadPoolExecutor(os.cpu_count()) as threads,
        SqliteCache(cache_folder() / CACHE_FILE) as store,
    ):
        loader = ImageLoader(catalogue, settings, size, threads)
        fetched = ImageCache(store, size)
        loader.fetch(references, fetched)
        with atomic_folder(folder) as part:
            with SqliteCache(part / "scratch" / "unpacked.sqlite") as scratch:
                unpacked = ImageCache(scratch, size)
                loader.unpack(references, unpacked)
                load = partial(loader.load, caches=[fetched, unpacked])
                counts = _write_shards(part, products, references, load, settings.shard_rows)
            shutil.rmtree(part / "scratch")
            check_failures(counts, settings.max_failed)
    return counts


def _write_shards(
    folder: Path,
    products: pa.Table,
    references: Sequence[Reference],
    load: Callable[[Sequence[Reference]], Iterator[Result | None]],
    shard_rows: int,
) -> Counts:
    """Write the results of `load` for each product to images-00000.parquet and so on.

    There is at least one shard, also if there are no products. Return the number of products by
    status and reason.
    """
    counts: Counts = Counter()
    with image_bar("writing", len(products)) as show:
        for number, start in enumerate(range(0, max(len(products), 1), shard_rows)):
            skus = products["sku"].slice(start, shard_rows).to_pylist()
            rows = []
            for sku, result in zip(skus, load(references[start : start + shard_rows]), strict=True):
                rows.append(_row(sku, result))
                show(result)
            shard = folder / f"images-{number:05}.parquet"
            write_table(shard, pa.Table.from_pylist(rows, schema=IMAGES))
            counts.update((row["status"], row["reason"]) for row in rows)
    return counts


class ImageLoader:
    """Gets images by reference: from hosts, from the archive, from files and from the demo."""

    def __init__(
        self, catalogue: Catalogue, settings: DownloadSettings, size: int, threads: Executor
    ) -> None:
        """Images are converted to `size` pixels in `threads`."""
        self._catalogue = catalogue
        self._settings = settings
        self._size = size
        self._threads = threads

    def fetch(self, references: Iterable[Reference], cache: ImageCache) -> None:
        """Fetch the images with a URL that are not in `cache` yet, and put them there."""
        urls = [ref for ref in dict.fromkeys(references) if _has_scheme(ref, "url")]
        missing, failed = self._missing(urls, cache)
        if not missing:
            return
        with image_bar("fetching", len(urls), len(urls) - len(missing), failed) as show:

            def keep(url: str, result: Result) -> None:
                cache.put_many([(ImageRef("url", url), result)])
                show(result)

            fetch_many(
                [reference.location for reference in missing],
                partial(to_jpeg, size=self._size),
                keep,
                mirror=self._catalogue.mirror,
                settings=self._settings,
                threads=self._threads,
            )

    def unpack(self, references: Iterable[Reference], cache: ImageCache) -> None:
        """Put the images in the archive into `cache`."""
        names = [ref.location for ref in dict.fromkeys(references) if _has_scheme(ref, "archive")]
        if not names:
            return
        members = read_members(self._archive(), names, self._settings.max_bytes)
        with image_bar("unpacking", len(names)) as show:
            while batch := list(itertools.islice(members, ARCHIVE_BATCH)):
                contents = [content for _, content in batch]
                results = list(self._threads.map(partial(convert, size=self._size), contents))
                cache.put_many(
                    (ImageRef("archive", name), result)
                    for (name, _), result in zip(batch, results, strict=True)
                )
                for result in results:
                    show(result)

    def load(
        self, references: Sequence[Reference], caches: Sequence[ImageCache]
    ) -> Iterator[Result | None]:
        """Yield the result for each reference, None where there is none.

        URLs and members of the archive are in one of the `caches`.
        """
        cached = [ref for ref in references if _has_scheme(ref, "url", "archive")]
        known = {ref: result for cache in caches for ref, result in cache.get_many(cached).items()}
        local = self._threads.map(
            partial(
                load_local,
                folder=self._catalogue.folder,
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
                if url not in known or (has_failed and self._settings.retry_failed):
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
        path = path_inside(folder, name)
        if path is None:
            raise InputError(f"data.table.archive is {name!r}, which is outside {folder}")
        return path


def _parse(text: str | None) -> Reference:
    """Parse the text of a reference; None and an empty text stand for no image."""
    if not text:
        return None
    try:
        reference = ImageRef.parse(text)
    except ValueError as error:
        return Failure(str(error))
    return Failure(reference.reason) if reference.reason else reference


def _has_scheme(reference: Reference, *schemes: Scheme) -> TypeGuard[ImageRef]:
    return isinstance(reference, ImageRef) and reference.scheme in schemes


def _row(sku: str, result: Result | None) -> dict[str, Any]:
    """Return a row of `tables.IMAGES`."""
    row: dict[str, Any] = dict.fromkeys(IMAGES.names)
    if result is None:
        return {**row, "sku": sku, "status": "none"}
    if isinstance(result, Failure):
        return {**row, "sku": sku, "status": "failed", "reason": result.reason}
    return {
        **row,
        "sku": sku,
        "jpeg": result,
        "sha256": hashlib.sha256(result).hexdigest(),
        "perceptual_hash": perceptual_hash(result),
        "status": "ok",
    }
