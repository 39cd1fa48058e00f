"""Embed every product's text with one encoder.

Reads data/products.parquet and data/weights/<encoder>/; writes
data/embeddings/text/<encoder>.parquet: a row per product, null where the chosen fields are empty.
"""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from stages.common.process import run_stage
from stages.common.tables import (
    PRODUCTS,
    embeddings_schema,
    read_table,
    to_arrow,
    write_batches,
)
from stages.encoders import hashed_ngrams
from stages.encoders.base import module_of
from stages.encoders.embedding_cache import Embedder, write_embeddings
from stages.encoders.weights.manifest import read_manifest
from stages.params import load_params

TOGETHER = 4096  # products that are in memory together, and whose texts are sorted by length


def texts_of(products: pa.Table, fields: Sequence[str]) -> list[str]:
    """Return each product's fields as one text, the empty ones left out: "name. description"."""
    columns = [products[field].to_pylist() for field in fields]
    return [". ".join(filter(None, values)) for values in zip(*columns, strict=True)]


def hashes_of(texts: Sequence[str]) -> list[str | None]:
    """Return the texts' SHA-256, None for an empty text."""
    return [hashlib.sha256(text.encode()).hexdigest() if text else None for text in texts]


def embed(embedder: Embedder, skus: pa.ChunkedArray, texts: list[str], bar: tqdm) -> pa.Table:
    """Embed texts into a table; one that occurs twice is embedded once, an empty one is null.

    `bar` counts the products whose text is embedded.
    """
    return embedder.table(skus, hashes_of(texts), texts.__getitem__, bar, lambda at: len(texts[at]))


def counted(settings: hashed_ngrams.Settings, skus: pa.ChunkedArray, texts: list[str]) -> pa.Table:
    """Count the n-grams of texts into a table; an empty text is null."""
    present = np.array([bool(text) for text in texts])
    rows = module_of(settings.kind).count(settings, texts)
    hashes = pa.array(hashes_of(texts), pa.string())
    columns = [skus, hashes, to_arrow(rows, present)]
    return pa.table(columns, schema=embeddings_schema(None))


def main() -> None:
    """Embed the texts with the encoder that the command line names."""
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", required=True, choices=params.text.encoders)
    name = parser.parse_args().encoder
    manifest = read_manifest(Path("data/weights") / name)
    products = read_table(Path("data/products.parquet"), PRODUCTS)
    settings = params.encoders[name]
    texts = texts_of(products, settings.fields or params.text.fields)
    parts = [slice(start, start + TOGETHER) for start in range(0, len(texts), TOGETHER)]
    output = Path("data/embeddings/text") / f"{name}.parquet"
    total = sum(map(bool, texts))

    if isinstance(settings, hashed_ngrams.Settings):
        facts = {"encoder": name, "weights": asdict(manifest), "n_features": settings.n_features}
        counts = (counted(settings, products["sku"][part], texts[part]) for part in parts)
        write_batches(output, embeddings_schema(None), counts, facts)
        print(f"{name}: {total:,} texts counted")
        return

    def tables(embedder: Embedder, bar: tqdm) -> Iterator[pa.Table]:
        for part in parts:
            yield embed(embedder, products["sku"][part], texts[part], bar)

    write_embeddings(
        name,
        params.encoders[name],
        params.backend,
        params.precision,
        params.cache,
        output,
        total,
        " texts",
        tables,
    )


if __name__ == "__main__":
    run_stage(main)
