"""Embed every product's text with one encoder.

Reads data/products.parquet and data/weights/<encoder>/; writes
data/embeddings/text/<encoder>.parquet: a row per product, null where the chosen fields are empty,
and in its metadata how many texts the encoder cannot read, tell apart or take whole; and
data/networks/<encoder>/: the network in int8, nothing in other precisions.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence

import pyarrow as pa

from stages.common import paths
from stages.common.process import run_stage
from stages.common.tables import (
    PRODUCTS,
    embeddings_schema,
    from_arrow,
    read_table,
    write_batches,
)
from stages.common.texts import texts_of
from stages.compute.selection import select_workers
from stages.encoders.embedding_cache import (
    Progress,
    TableEncoder,
    embeddings_table,
    open_encoder,
    summary,
    table_metadata,
)
from stages.encoders.int8 import weights_to_run
from stages.encoders.text_counts import TextCounter
from stages.encoders.weights.manifest import read_manifest
from stages.params import load_params

CHUNK_ROWS = 16384  # products that are in memory together, and whose texts are sorted by length


def embed_texts(
    encoder: TableEncoder, skus: pa.ChunkedArray, texts: Sequence[str], progress: Progress
) -> pa.Table:
    """Embed texts into a table; one that occurs twice is embedded once, an empty one is null."""
    hashes = [hash_of(text) if text else None for text in texts]
    return embeddings_table(skus, hashes, encoder.encode(texts, hashes, progress))


def hash_of(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """Embed the texts with the encoder that the command line names."""
    from tqdm import tqdm

    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", required=True, choices=params.text.encoders)
    name = parser.parse_args().encoder
    settings, weights = params.encoders[name], paths.weights(name)
    read_manifest(weights)  # raises an error where there are none
    products = read_table(paths.PRODUCTS, PRODUCTS)
    fields = getattr(settings, "fields", None) or params.text.fields
    texts = texts_of(products, fields, getattr(settings, "prefix", ""))
    chunks = [slice(start, start + CHUNK_ROWS) for start in range(0, len(texts), CHUNK_ROWS)]
    total, counter = sum(map(bool, texts)), TextCounter(settings, weights)
    by_hash = {hash_of(text): text for text in texts if text}
    how = params.backend, params.precision
    folder = weights_to_run(
        name, settings, *how, params.seed, by_hash, lambda chosen: [by_hash[one] for one in chosen]
    )
    options = *how, params.cache
    workers = select_workers(params.compute, params.backend)
    with (
        open_encoder(settings, folder, *options, has_input=total > 0, workers=workers) as (
            encoder,
            backend,
        ),
        tqdm(total=total, desc=name, unit=" texts") as bar,
    ):
        if settings.is_remote:
            encoder.check_cost(texts, [hash_of(text) if text else None for text in texts])
        # All before the first is written: the counts are written with them.
        tables = [
            embed_texts(encoder, products["sku"][chunk], texts[chunk], bar.update)
            for chunk in chunks
        ]
        for chunk, table in zip(chunks, tables, strict=True):
            counter.add(texts[chunk], from_arrow(table["embedding"], encoder.n_features)[0])
        counts = counter.counts()
        write_batches(
            paths.embeddings("text", name),
            embeddings_schema(None if settings.is_sparse else encoder.n_features),
            tables,
            table_metadata(name, settings, read_manifest(folder), encoder, backend)
            | {"fields": list(fields), "texts": counts.metadata()},
        )
    print(summary(name, "texts", encoder, backend))
    if total:
        print(f"{name}: {counts.words()}")
    if warning := counts.warning(name):
        print(warning, file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
