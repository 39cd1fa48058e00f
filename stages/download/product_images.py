"""Get the image of every product, wherever it is, and write all images to a few Parquet files."""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.common.cache import cache_folder
from stages.common.errors import without_secrets
from stages.common.files import atomic_folder
from stages.common.image_ref import ImageRef
from stages.common.kv_store import SqliteCache
from stages.common.tables import IMAGES, write_table
from stages.compute.selection import Compute
from stages.download.failures import Failure
from stages.download.image_cache import ImageCache, Result
from stages.download.image_counts import FailedImage, Outcome
from stages.download.image_loader import CACHE_FILE, Catalogue, ImageLoader, Reference
from stages.download.perceptual_hash import perceptual_hash
from stages.download.progress import image_bar
from stages.download.settings import DownloadSettings


def write_product_images(
    products: pa.Table,
    folder: Path,
    catalogue: Catalogue,
    settings: DownloadSettings,
    size: int,
    compute: Compute,
    report: Callable[[Outcome], None],
) -> Outcome:
    """Write a row of `tables.IMAGES` for each product, in their order, to shards in `folder`.

    `products` is a table of `tables.PRODUCTS`; `size` is the side of the images in pixels. The
    machines of a cluster fetch them where `compute` is ray. What is fetched is cached, so that a
    run that was interrupted continues where it stopped. `report` is called with what is returned,
    when all images are there; if it raises an error, `folder` stays as it was.
    """
    references = [parse_reference(text) for text in products["image"].to_pylist()]
    with (
        ThreadPoolExecutor(os.cpu_count()) as threads,
        SqliteCache(cache_folder() / CACHE_FILE) as store,
    ):
        loader = ImageLoader(catalogue, settings, size, threads, compute=compute)
        fetched = ImageCache(store, size)
        loader.find(references)
        loader.fetch(references, fetched)
        with atomic_folder(folder) as part:
            with SqliteCache(part / "scratch" / "unpacked.sqlite") as scratch:
                unpacked = ImageCache(scratch, size)
                loader.unpack(references, unpacked)
                load = partial(loader.load, caches=[fetched, unpacked])
                counts, failed, imageless = _write_shards(
                    part, products, references, load, settings.shard_rows, size
                )
            shutil.rmtree(part / "scratch")
            outcome = Outcome(
                counts["ok"],
                counts["none"],
                failed,
                loader.guessed,
                imageless,
                loader.n_not_retried,
            )
            report(outcome)
    return outcome


def _write_shards(
    folder: Path,
    products: pa.Table,
    references: Sequence[Reference],
    load: Callable[[Sequence[Reference]], Iterator[Result | None]],
    shard_rows: int,
    size: int,
) -> tuple[Counter[str], list[FailedImage], dict[str, int]]:
    """Write the results of `load` for each product to images-00000.parquet and so on.

    There is at least one shard, also if there are no products. Return the number of products by
    status, those whose image failed, and the number of products of each class that has no image,
    where others have one.
    """
    counts: Counter[str] = Counter()
    with_image: set[str] = set()
    failed = []
    with image_bar("writing", len(products)) as show:
        for number, start in enumerate(range(0, max(len(products), 1), shard_rows)):
            shard = products.slice(start, shard_rows)
            rows = []
            for sku, text, label, result in zip(
                *(shard[name].to_pylist() for name in ("sku", "image", "label")),
                load(references[start : start + shard_rows]),
                strict=True,
            ):
                rows.append(_row(sku, result))
                if isinstance(result, Failure):
                    failed.append(FailedImage(sku, _as_in_the_catalogue(text), result.reason))
                elif result is not None:
                    with_image.add(label)
                show(result)
            file = folder / f"images-{number:05}.parquet"
            write_table(file, pa.Table.from_pylist(rows, schema=IMAGES), {"size": size})
            counts.update(row["status"] for row in rows)
    by_class = products["label"].value_counts().to_pylist() if with_image else []
    lacking = [one for one in by_class if one["values"] not in with_image]
    return counts, failed, {one["values"]: one["counts"] for one in lacking}


def parse_reference(text: str | None) -> Reference:
    """Parse the text of a reference; None and an empty text stand for no image."""
    if not text:
        return None
    try:
        reference = ImageRef.parse(text)
    except ValueError as error:
        return Failure(str(error))
    return Failure(reference.reason) if reference.reason else reference


def _as_in_the_catalogue(text: str) -> str:
    """Return the text of a reference as the catalogue has it, without what may be secret."""
    try:
        return without_secrets(ImageRef.parse(text).location)
    except ValueError:
        return without_secrets(text)


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
