"""Images whose bytes are in the catalogue's table, a Parquet file or a folder of such files."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.common.errors import InputError
from stages.common.file_content import open_bytes
from stages.common.image_ref import EmbeddedImage
from stages.download.failures import Failure, too_large
from stages.download.local_images import path_below

_BATCH = 16  # rows that are in memory together
_BUFFER = 1 << 20  # bytes that are read at once; without it, Arrow reads the whole file ahead

Images = Mapping[int, Mapping[int | None, str]]  # locations by row and item


def read_embedded(
    locations: Iterable[str], folder: Path, max_bytes: int
) -> Iterator[tuple[str, bytes | Failure]]:
    """Yield the bytes of each image by its location, in the order of the tables.

    `locations` are those of ImageRefs. Each file is read once for each of its columns, and only the
    groups of rows in which images are wanted. Raises InputError where a table is not there or is
    not what it was when the products were read.
    """
    wanted: dict[tuple[str, str], dict[int, dict[int | None, str]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for location in locations:
        image = _parse(location)
        wanted[image.file, image.column][image.row][image.item] = location
    for (name, column), images in wanted.items():
        path = path_below(folder, name)
        if path is None or not path.is_file():
            raise _changed(folder / name)
        try:
            for location, content in _read_column(path, column, images):
                is_small = len(content) <= max_bytes
                yield location, content if is_small else too_large(max_bytes)
        except (pa.ArrowException, OSError, LookupError, TypeError):
            raise _changed(path) from None


def _read_column(path: Path, column: str, images: Images) -> Iterator[tuple[str, bytes]]:
    """Yield the images of a column. Raises LookupError or TypeError where a cell has none."""
    with open_bytes(path) as content:
        seekable: Any = content if content.seekable() else pa.BufferReader(content.read())
        with pq.ParquetFile(seekable, buffer_size=_BUFFER, pre_buffer=False) as file:
            start, n_found = 1, 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                if any(row in images for row in range(start, end)):
                    row = start
                    for batch in file.iter_batches(_BATCH, [group], [column]):
                        # By name: for `a.b` Arrow reads the field b of a column a as well.
                        for cell in batch.column(column):
                            for item, location in images.get(row, {}).items():
                                yield location, _bytes_of(cell.as_py(), item)
                                n_found += 1
                            row += 1
                start = end
    if n_found < sum(map(len, images.values())):
        raise LookupError


def _bytes_of(cell: Any, item: int | None) -> bytes:
    """Return the bytes of an image in a cell."""
    image = cell if item is None else cell[item - 1]
    content = image["bytes"] if isinstance(image, dict) else image
    if not isinstance(content, bytes):
        raise TypeError
    return content


def _parse(location: str) -> EmbeddedImage:
    try:
        return EmbeddedImage.parse(location)
    except ValueError:
        raise InputError(f"{location!r} names no cell of a table: run `dvc repro`") from None


def _changed(path: Path) -> InputError:
    return InputError(
        f"{path} lacks images that were there when products were read: run `dvc repro`"
    )
