"""The texts of the products, of which only some are in memory at a time."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from stages.common import paths
from stages.common.tables import read_batches
from stages.common.texts import texts_of

CHUNK_ROWS = 4096  # products whose texts are sorted by length
SPARSE_CHUNK_ROWS = 512  # n-grams need no order, and much memory while they are counted


@dataclass(frozen=True)
class ProductTexts:
    """The texts of data/products.parquet that an encoder reads: `fields`, behind a `prefix`.

    Fewer are in memory together where its vectors are sparse.
    """

    fields: Sequence[str]
    prefix: str
    is_sparse: bool

    def chunks(self) -> Iterator[tuple[pa.ChunkedArray, list[str]]]:
        """Yield (skus, texts) of some products at a time."""
        rows = SPARSE_CHUNK_ROWS if self.is_sparse else CHUNK_ROWS
        for table in read_batches(paths.PRODUCTS, ["sku", *self.fields], rows):
            yield table["sku"], texts_of(table, self.fields, self.prefix)

    def present(self) -> Iterator[str]:
        """Yield the texts that are not empty."""
        for _, texts in self.chunks():
            yield from filter(None, texts)

    def hashes(self) -> Iterator[str]:
        """Yield their SHA-256."""
        return map(hash_of, self.present())

    def chosen(self, hashes: Sequence[str]) -> list[str]:
        """Return the texts that have these SHA-256."""
        wanted = set(hashes)
        found = {sha256: text for text in self.present() if (sha256 := hash_of(text)) in wanted}
        return [found[sha256] for sha256 in hashes]


def hash_of(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
