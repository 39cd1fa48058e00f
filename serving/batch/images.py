"""The images of a table's rows, got as `download_images` gets them, for so many rows at a time."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from serving.batch.rows import InputRow
from serving.batch.wording import in_flags
from serving.products import Product
from stages.common.cache import cache_folder
from stages.common.image_ref import ImageRef, is_url
from stages.common.kv_store import SqliteCache
from stages.download.failures import Failure
from stages.download.image_cache import ImageCache, Result
from stages.download.image_loader import CACHE_FILE, Catalogue, ImageLoader, Reference
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
    """Loads the images of rows, from files, from hosts and from an archive."""

    def __init__(self, loader: ImageLoader, fetched: ImageCache, unpacked: ImageCache) -> None:
        self._loader = loader
        self._fetched = fetched
        self._unpacked = unpacked

    def unpack(self, rows: Iterable[InputRow]) -> None:
        """Read all images that the rows name from the archive, at once: it may be compressed."""
        self._loader.unpack({row.image: None for row in rows if row.image}, self._unpacked)

    def load(self, rows: Sequence[InputRow]) -> list[Product]:
        """Return the rows' products with their images, or with why these could not be used."""
        references = [row.image for row in rows]
        self._loader.find(references)
        self._loader.fetch(references, self._fetched)
        self._loader.unpack(filter(_is_embedded, references), self._unpacked)
        results = self._loader.load(references, [self._fetched, self._unpacked])
        return [_with_image(row.product, one) for row, one in zip(rows, results, strict=True)]


def _is_embedded(reference: Reference) -> bool:
    return isinstance(reference, ImageRef) and reference.scheme == "embedded"


def _with_image(product: Product, result: Result | None) -> Product:
    if isinstance(result, Failure):
        return replace(product, image_error=in_flags(result.reason))
    return product if result is None else replace(product, jpeg=result)


@contextmanager
def open_images(folder: Path, archive: str | None, size: int, scratch: Path) -> Iterator[RowImages]:
    """Give what loads images from `folder`, hosts and `archive`, as squares of `size` pixels.

    What is fetched is kept in the cache, what is unpacked in `scratch`.
    """
    if archive is not None and not is_url(archive):
        file = Path(archive).resolve()
        folder, archive = file.parent, file.name
    catalogue = Catalogue(folder, None, archive)
    with (
        ThreadPoolExecutor(os.cpu_count()) as threads,
        SqliteCache(cache_folder() / CACHE_FILE) as kept,
        SqliteCache(scratch) as store,
    ):
        loader = ImageLoader(catalogue, DOWNLOAD, size, threads, has_bars=False)
        yield RowImages(loader, ImageCache(kept, size), ImageCache(store, size))
