"""The images of a table's rows, got as `download_images` gets them, for so many rows at a time."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from serving.batch.rows import InputRow
from serving.batch.wording import in_flags
from serving.products import Product
from stages.common.cache import cache_folder
from stages.common.image_ref import ImageRef, Scheme, is_url
from stages.common.kv_store import SqliteCache
from stages.download.failures import Failure
from stages.download.image_cache import ImageCache, Result
from stages.download.image_loader import CACHE_FILE, Catalogue, ImageLoader
from stages.download.settings import DownloadSettings

# As in params.yaml, but a run asks again for what failed in an earlier one.
DOWNLOAD = DownloadSettings(
    concurrency=48,
    per_host=32,
    connect_timeout_s=10,
    read_timeout_s=30,
    retries=6,
    backoff_s=0.5,
    max_bytes=20_000_000,
    max_failed=1,
    retry_failed=True,
    shard_rows=1,
)


class RowImages:
    """Loads the images of rows, from files, hosts, an archive and the table itself.

    `loader` gets what is loaded row by row, `unpackers` by scheme what is unpacked before.
    """

    def __init__(
        self,
        loader: ImageLoader,
        unpackers: Mapping[Scheme, ImageLoader],
        fetched: ImageCache,
        unpacked: ImageCache,
    ) -> None:
        self._loader = loader
        self._unpackers = unpackers
        self._fetched = fetched
        self._unpacked = unpacked

    def unpack(self, rows: Iterable[InputRow]) -> None:
        """Unpack all images of the rows at once: to find one, all before it may have to be read."""
        wanted: dict[Scheme, list[ImageRef]] = {scheme: [] for scheme in self._unpackers}
        for row in rows:
            if isinstance(row.image, ImageRef) and row.image.scheme in wanted:
                wanted[row.image.scheme].append(row.image)
        for scheme, references in wanted.items():
            self._unpackers[scheme].unpack(references, self._unpacked)

    def load(self, rows: Sequence[InputRow]) -> list[Product]:
        """Return the rows' products with their images, or with why these could not be used."""
        references = [row.image for row in rows]
        self._loader.find(references)
        self._loader.fetch(references, self._fetched)
        results = self._loader.load(references, [self._fetched, self._unpacked])
        return [_with_image(row.product, one) for row, one in zip(rows, results, strict=True)]


def _with_image(product: Product, result: Result | None) -> Product:
    if isinstance(result, Failure):
        return replace(product, image_error=in_flags(result.reason))
    return product if result is None else replace(product, jpeg=result)


@contextmanager
def open_images(
    folder: Path, table: Path, archive: str | None, size: int, scratch: Path
) -> Iterator[RowImages]:
    """Give what loads images from `folder`, hosts, `table` and `archive`, of `size` pixels a side.

    What is fetched is kept in the cache, what is unpacked in `scratch`.
    """
    above = folder
    if archive is not None and not is_url(archive):
        file = Path(archive).resolve()
        above, archive = file.parent, file.name
    with (
        ThreadPoolExecutor(os.cpu_count()) as threads,
        SqliteCache(cache_folder() / CACHE_FILE) as kept,
        SqliteCache(scratch) as store,
    ):
        loader, in_archive, in_table = (
            ImageLoader(Catalogue(top, None, archive), DOWNLOAD, size, threads, has_bars=False)
            for top in (folder, above, table.parent)
        )
        unpackers: dict[Scheme, ImageLoader] = {"archive": in_archive, "embedded": in_table}
        yield RowImages(loader, unpackers, ImageCache(kept, size), ImageCache(store, size))
