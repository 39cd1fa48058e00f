"""The images of products, as `download_images` has stored them."""

import io
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from stages.common.tables import IMAGES, read_table


def read_images(
    shards: Iterable[Path], chosen: Collection[str], key: Literal["sku", "sha256"] = "sku"
) -> dict[str, bytes]:
    """Return the images of the chosen products that have one, as JPEG by sku, or by sha256."""
    found: dict[str, bytes] = {}
    values = pa.array(list(chosen), pa.string())
    for shard in shards:
        table = read_table(shard, IMAGES)
        wanted = pc.is_in(table[key], values)
        rows = table.filter(pc.and_(wanted, pc.is_valid(table["jpeg"])))
        found |= dict(zip(rows[key].to_pylist(), rows["jpeg"].to_pylist(), strict=True))
    return found


def thumbnail(
    jpeg: bytes, side: int, quality: int, encoding: Literal["JPEG", "WEBP"] = "JPEG"
) -> bytes:
    """Return an image in RGB that has at most `side` pixels in width and height."""
    with Image.open(io.BytesIO(jpeg)) as opened:
        image = opened.convert("RGB")
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, encoding, quality=quality)
    return file.getvalue()
