"""Get every product's picture and write them all, 224×224, into a few Parquet files.

Run as `python -m stages.download_images`. What is fetched by HTTP is kept in a store outside DVC's
outputs, failures included, so that a run that was interrupted goes on where it stopped.
"""

import hashlib
import itertools
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from stages.common.cache import cache_folder
from stages.common.errors import InputError
from stages.common.files import atomic_folder
from stages.common.kv_store import SqliteCache
from stages.common.process import run_stage
from stages.common.tables import IMAGES, PRODUCTS, read_table, write_table
from stages.download.archives import read_members
from stages.download.http import Failure, fetch_each, fetch_file, too_large
from stages.download.image_conversion import CONVERSION, PictureError, to_jpeg
from stages.download.settings import DownloadSettings
from stages.params import load_params

PRODUCTS_FILE = Path("data/products.parquet")
IMAGES_FOLDER = Path("data/images")
STORE_FILE = "pictures.sqlite"

HTTP = ("http://", "https://")
ARCHIVE = "archive:"
FILE = "file:"
DEMO = "demo:"

BATCH = 500  # rows of a store that are looked at together
AHEAD = 8  # members of an archive that are in memory together
COMMONEST = 5  # reasons that an error lists

Result = bytes | Failure  # a JPEG, or why there is none
Counts = Counter[tuple[str, str | None]]  # products by status and reason


def main() -> None:
    """Write a row for every product: its picture, why it has none, or that it names none."""
    warnings.filterwarnings("ignore", module="PIL")  # what is odd about a picture, yet no failure
    params = load_params()
    data, download = params.data, params.download
    products = read_table(PRODUCTS_FILE, PRODUCTS)
    references = products["image"].to_pylist()
    with ThreadPoolExecutor(os.cpu_count()) as threads, SqliteCache(
        cache_folder() / STORE_FILE
    ) as fetched:
        fetch(references, fetched, data.mirror, download, threads)
        with atomic_folder(IMAGES_FOLDER) as folder:
            with SqliteCache(folder / "scratch" / "unpacked.sqlite") as unpacked:
                unpack(references, unpacked, data, download, threads)
                get_results = partial(
                    results_of,
                    stores=(fetched, unpacked),
                    data=data,
                    download=download,
                    threads=threads,
                )
                counts = write_shards(folder, products, get_results, download.shard_rows)
            shutil.rmtree(folder / "scratch")
            check(counts, download.max_failed)
    print(f"download_images: {in_words(counts)}")


def fetch(
    references: Iterable[str | None],
    store: SqliteCache,
    mirror: str | None,
    download: DownloadSettings,
    threads: Executor,
) -> None:
    """Ask, once each, for the pictures with a URL that `store` lacks, and put what comes in it."""
    urls = [ref for ref in dict.fromkeys(references) if ref and _is_url(ref)]
    todo, failed = _left_to_fetch(urls, store, download.retry_failed)
    if not todo:
        return
    with _bar("fetching", len(urls), done=len(urls) - len(todo), failed=failed) as show:

        def keep(url: str, result: Result) -> None:
            store.put_many([(_key(url), _packed(result))])
            show(result)

        fetch_each(todo, to_jpeg, keep, mirror=mirror, download=download, threads=threads)


def unpack(
    references: Iterable[str | None],
    store: SqliteCache,
    data: Any,
    download: DownloadSettings,
    threads: Executor,
) -> None:
    """Put the pictures that lie in the archive in `store`."""
    names = {ref.removeprefix(ARCHIVE): ref for ref in references if ref and _is_member(ref)}
    if not names:
        return
    members = read_members(_archive(data, download), names, download.max_bytes)
    with _bar("unpacking", len(names)) as show:
        while batch := list(itertools.islice(members, AHEAD)):
            results = list(threads.map(_converted, [content for _, content in batch]))
            store.put_many(
                (_key(names[name]), _packed(result))
                for (name, _), result in zip(batch, results, strict=True)
            )
            for result in results:
                show(result)


def results_of(
    references: Sequence[str | None],
    *,
    stores: Sequence[SqliteCache],
    data: Any,
    download: DownloadSettings,
    threads: Executor,
) -> Iterator[Result | None]:
    """Yield for each of `references` its picture or why there is none, None where it is null."""
    keys = [_key(ref) for ref in references if ref and _is_stored(ref)]
    stored = {key: row for store in stores for key, row in store.get_many(keys).items()}
    local = threads.map(
        partial(local_picture, folder=data.folder, max_bytes=download.max_bytes),
        [ref for ref in references if ref and not _is_stored(ref)],
    )
    for ref in references:
        if not ref:
            yield None
        elif not _is_stored(ref):
            yield next(local)
        elif (key := _key(ref)) in stored:
            yield _unpacked(stored[key])
        else:
            raise InputError(f"{STORE_FILE} has lost pictures meanwhile: run `dvc repro` again")


def local_picture(reference: str, *, folder: Path, max_bytes: int) -> Result:
    """Return the picture that is in a file of `folder`, or that the demo draws."""
    if reference.startswith(DEMO):
        from stages.download.demo_images import draw

        return draw(reference)
    if not reference.startswith(FILE):
        return Failure("neither a URL nor file:, archive: or demo:")
    path = _inside(folder, reference.removeprefix(FILE))
    if path is None:
        return Failure("outside data.folder")
    try:
        if not path.is_file():
            return Failure("no such file")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError:
        return Failure("a file that cannot be read")
    return _converted(content if len(content) <= max_bytes else too_large(max_bytes))


def write_shards(
    folder: Path,
    products: pa.Table,
    get_results: Callable[[Sequence[str | None]], Iterator[Result | None]],
    shard_rows: int,
) -> Counts:
    """Write `products`, in their order, with their results to images-00000.parquet and so on.

    Returns how many products there are of each status and reason. There is at least one file.
    """
    counts: Counts = Counter()
    with _bar("writing", len(products)) as show:
        for number, start in enumerate(range(0, max(len(products), 1), shard_rows)):
            shard = products.slice(start, shard_rows)
            rows = []
            for sku, result in zip(
                shard["sku"].to_pylist(), get_results(shard["image"].to_pylist()), strict=True
            ):
                rows.append(_row(sku, result))
                show(result)
            write_table(
                folder / f"images-{number:05}.parquet", pa.Table.from_pylist(rows, schema=IMAGES)
            )
            counts.update((row["status"], row["reason"]) for row in rows)
    return counts


def check(counts: Counts, max_failed: float) -> None:
    """Raise InputError where more than the share `max_failed` of the pictures failed."""
    failed = _count(counts, "failed")
    named = failed + _count(counts, "ok")
    if failed > max_failed * named:
        raise InputError(
            f"{failed:,} of {named:,} pictures could not be had ({_reasons(counts)}), and "
            f"download.max_failed allows a share of {max_failed:g}: mend what the reasons name and "
            "set download.retry_failed to true, which asks again for those that failed and for no "
            "other, or raise download.max_failed"
        )


def in_words(counts: Counts) -> str:
    """Return how many products there are of each status, and how many failed for each reason."""
    failed = f"{_count(counts, 'failed'):,} failed"
    if reasons := _reasons(counts):
        failed += f" ({reasons})"
    return f"{_count(counts, 'ok'):,} ok, {failed}, {_count(counts, 'none'):,} without a picture"


def _left_to_fetch(
    urls: Sequence[str], store: SqliteCache, retry_failed: bool
) -> tuple[list[str], int]:
    """Return the URLs that are to be asked for, and how many of the others failed earlier."""
    todo, failed = [], 0
    for start in range(0, len(urls), BATCH):
        batch = urls[start : start + BATCH]
        rows = store.get_many(map(_key, batch))
        for url in batch:
            row = rows.get(_key(url))
            has_failed = row is not None and isinstance(_unpacked(row), Failure)
            if row is None or (has_failed and retry_failed):
                todo.append(url)
            else:
                failed += has_failed
    return todo, failed


def _archive(data: Any, download: DownloadSettings) -> Path:
    """Return where the archive of pictures lies, after fetching it if need be."""
    name = data.table.archive
    if name is None:
        raise InputError("products name members of an archive, but data.table.archive is null")
    if _is_url(name):
        return fetch_file(name, mirror=data.mirror, download=download)
    path = _inside(data.folder, name)
    if path is None:
        raise InputError(f"data.table.archive is {name!r}, which lies outside {data.folder}")
    return path


def _inside(folder: Path, name: str) -> Path | None:
    """Return the path of `name` in `folder`, links resolved, or None where that leads out of it."""
    root = folder.resolve()
    try:
        path = (root / name).resolve()
    except (OSError, ValueError, RuntimeError):  # links in a circle, a null character
        return None
    return path if path.is_relative_to(root) else None


def _converted(content: bytes | Failure) -> Result:
    if isinstance(content, Failure):
        return content
    try:
        return to_jpeg(content)
    except PictureError as error:
        return Failure(str(error))


def _row(sku: str, result: Result | None) -> dict[str, str | bytes | None]:
    """Return a row of `tables.IMAGES`."""
    row: dict[str, str | bytes | None] = dict.fromkeys(IMAGES.names)
    if result is None:
        return {**row, "sku": sku, "status": "none"}
    if isinstance(result, Failure):
        return {**row, "sku": sku, "status": "failed", "reason": result.reason}
    sha256 = hashlib.sha256(result).hexdigest()
    return {**row, "sku": sku, "status": "ok", "jpeg": result, "sha256": sha256}


def _is_url(reference: str) -> bool:
    return reference[:8].lower().startswith(HTTP)


def _is_member(reference: str) -> bool:
    return reference.startswith(ARCHIVE)


def _is_stored(reference: str) -> bool:
    return _is_url(reference) or _is_member(reference)


def _key(reference: str) -> str:
    """Return a reference's key in a store: another conversion finds nothing of this one's."""
    return f"{CONVERSION} {reference}"


def _packed(result: Result) -> bytes:
    """Return a result as a row of a store."""
    return b"-" + result.reason.encode() if isinstance(result, Failure) else b"+" + result


def _unpacked(row: bytes) -> Result:
    return row[1:] if row.startswith(b"+") else Failure(row[1:].decode())


def _count(counts: Counts, status: str) -> int:
    return sum(count for (found, _), count in counts.items() if found == status)


def _reasons(counts: Counts) -> str:
    """Return the reasons of failures with their numbers, the commonest first."""
    failed = [(count, reason) for (status, reason), count in counts.items() if status == "failed"]
    failed.sort(key=lambda entry: (-entry[0], entry[1]))
    shown = [f"{reason}: {count:,}" for count, reason in failed[:COMMONEST]]
    if others := sum(count for count, _ in failed[COMMONEST:]):
        shown.append(f"others: {others:,}")
    return "; ".join(shown)


@contextmanager
def _bar(
    doing: str, total: int, done: int = 0, failed: int = 0
) -> Iterator[Callable[[Result | None], None]]:
    """Show progress, rate and failures; gives a function to be called with every result."""
    with tqdm(total=total, initial=done, desc=doing, unit=" pictures") as bar:
        bar.set_postfix(failed=failed)

        def show(result: Result | None) -> None:
            nonlocal failed
            if isinstance(result, Failure):
                failed += 1
                bar.set_postfix(failed=failed, refresh=False)
            bar.update()

        yield show


if __name__ == "__main__":
    run_stage(main)
