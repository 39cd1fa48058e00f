"""Embed every product's text with one encoder.

Reads data/products.parquet and data/weights/<encoder>/; writes
data/embeddings/text/<encoder>.parquet: a row per product, null where the chosen fields are empty.
"""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from tqdm import tqdm

from stages.embeddings import Embedder, write_embeddings
from stages.encoders.weights import read_manifest
from stages.errors import run_stage
from stages.params import load_params
from stages.tables import PRODUCTS, read_table

TOGETHER = 4096  # products that are in memory together, and whose texts are sorted by length


def texts_of(products: pa.Table, fields: Sequence[str]) -> list[str]:
    """Return each product's fields as one text, the empty ones left out: "name. description"."""
    columns = [products[field].to_pylist() for field in fields]
    return [". ".join(filter(None, values)) for values in zip(*columns, strict=True)]


def embed(embedder: Embedder, skus: pa.ChunkedArray, texts: list[str], bar: tqdm) -> pa.Table:
    """Embed texts into a table; one that occurs twice is embedded once, an empty one is null.

    `bar` counts the products whose text is embedded.
    """
    hashes = [hashlib.sha256(text.encode()).hexdigest() if text else None for text in texts]
    return embedder.table(skus, hashes, texts.__getitem__, bar, lambda at: len(texts[at]))


def main() -> None:
    """Embed the texts with the encoder that the command line names."""
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", required=True, choices=params.text.encoders)
    name = parser.parse_args().encoder
    read_manifest(Path("data/weights") / name)
    products = read_table(Path("data/products.parquet"), PRODUCTS)
    texts = texts_of(products, params.text.fields)

    def tables(embedder: Embedder, bar: tqdm) -> Iterator[pa.Table]:
        for start in range(0, len(texts), TOGETHER):
            part = slice(start, start + TOGETHER)
            yield embed(embedder, products["sku"][part], texts[part], bar)

    output = Path("data/embeddings/text") / f"{name}.parquet"
    write_embeddings(name, params, output, sum(map(bool, texts)), " texts", tables)


if __name__ == "__main__":
    run_stage(main)
