"""What the benchmarks embed: a sample of Best Buy's catalogue, else products of the demo."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from stages.catalog.sources import demo
from stages.common.images import DEFAULT_SIZE
from stages.common.tables import IMAGES
from stages.download.demo_images import draw
from stages.download.image_conversion import to_jpeg
from stages.params import Params

BESTBUY = Path(__file__).parents[2] / "shared" / "bestbuy"
KINDS = ("phone", "laptop", "camera")


def images(count: int) -> tuple[pa.Table, str]:
    """Return `count` different images as a shard of schema IMAGES, and what they are."""
    files = sorted((BESTBUY / "images").glob("*.jpg"))
    if files:
        jpegs: Iterable[bytes] = (to_jpeg(file.read_bytes(), DEFAULT_SIZE) for file in files)
        what = "Best Buy's images"
    else:
        names = (f"demo:{KINDS[i % 3]}?look={i}&colour=Navy&shot=1" for i in range(2 * count))
        jpegs, what = map(draw, names), "the demo's images"
    different: dict[str, bytes] = {}
    for jpeg in jpegs:
        different[hashlib.sha256(jpeg).hexdigest()] = jpeg
        if len(different) == count:
            break
    rows = [
        {"sku": str(i), "jpeg": jpeg, "sha256": sha256, "status": "ok", "reason": None}
        for i, (sha256, jpeg) in enumerate(different.items())
    ]
    return pa.Table.from_pylist(rows, schema=IMAGES), what


def texts(count: int, params: Params) -> tuple[list[str], str]:
    """Return `count` different texts of products, and what they are."""
    file = BESTBUY / "products.json"
    if file.is_file():
        entries = json.loads(file.read_text(encoding="utf-8"))
        found = [f"{entry['name']}. {entry.get('description') or ''}" for entry in entries]
        what = "Best Buy's texts"
    else:
        products = demo.read(params.data.demo, params.seed)
        found = [f"{product.name}. {product.description or ''}" for product in products]
        what = "the demo's texts"
    different = list(dict.fromkeys(found))
    return different[:: max(1, len(different) // count)][:count], what
