"""Embed every product's text with one encoder.

Reads data/products.parquet and data/weights/<encoder>/; writes
data/embeddings/text/<encoder>.parquet: a row per product, null where the chosen fields are empty,
and in its metadata how many texts the encoder cannot read, tell apart or take whole; and
data/networks/<encoder>/: the network in int8, nothing in other precisions.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing

import pyarrow as pa

from stages.common import paths
from stages.common.process import run_stage
from stages.common.progress import progress_bar
from stages.common.tables import (
    PRODUCTS,
    check_schema,
    embeddings_schema,
    read_schema,
    write_batches,
    written_aside,
)
from stages.compute.selection import select_workers
from stages.encoders.embedding_cache import Part
from stages.encoders.int8 import weights_to_run
from stages.encoders.product_texts import ProductTexts, hash_of
from stages.encoders.table_encoder import (
    embeddings_table,
    open_encoder,
    summary,
    table_metadata,
)
from stages.encoders.text_counts import TextCounter
from stages.encoders.weights.manifest import read_manifest
from stages.params import load_params


def part_of(skus: pa.ChunkedArray, texts: Sequence[str], max_chars: int | None = None) -> Part:
    """Return some products' texts as an encoder takes them, which reads `max_chars` of each.

    Those that are alike so far are one input; an empty one is missing.
    """
    hashes = [hash_of(text[:max_chars]) if text else None for text in texts]
    return Part(skus, texts, hashes)


def main() -> None:
    """Embed the texts with the encoder that the command line names."""
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", required=True, choices=params.text.encoders)
    name = parser.parse_args().encoder
    settings, weights = params.encoders[name], paths.weights(name)
    read_manifest(weights)  # raises an error where there are none
    check_schema(paths.PRODUCTS, read_schema(paths.PRODUCTS), PRODUCTS)
    fields = getattr(settings, "fields", None) or params.text.fields
    texts = ProductTexts(fields, getattr(settings, "prefix", ""), settings.is_sparse)
    max_chars = getattr(settings, "max_chars", None)
    parts = (part_of(*some, max_chars) for some in texts.chunks())
    total = sum(1 for _ in texts.present())
    how = params.backend, params.precision
    folder = weights_to_run(name, settings, *how, params.seed, texts.hashes(), texts.chosen)
    options = *how, params.cache
    stays_here = settings.is_sparse or settings.is_remote or not total
    use_gpus = params.backend != "openvino"
    workers = None if stays_here else select_workers(params.compute, use_gpus, [folder])
    with (
        open_encoder(settings, folder, *options, has_input=total > 0, workers=workers) as (
            encoder,
            backend,
        ),
        closing(TextCounter(settings, weights)) as counter,
        progress_bar(name, " texts", total) as bar,
        closing(encoder.encode(parts, bar.update)) as encoded,
    ):
        if settings.is_remote:
            read = [text[:max_chars] for text in texts.present()]
            encoder.check_cost(read, list(map(hash_of, read)))

        def tables() -> Iterator[pa.Table]:
            for part, vectors in encoded:
                counter.add(part.inputs, vectors)
                yield embeddings_table(part, vectors)

        schema = embeddings_schema(None if settings.is_sparse else encoder.n_features)
        output = paths.embeddings("text", name)
        # Written twice: the counts, which come before the first table, are there after the last.
        with written_aside(output, schema, tables()) as written:
            counts = counter.counts()
            metadata = table_metadata(name, settings, read_manifest(folder), encoder, backend)
            metadata |= {"fields": list(fields), "texts": counts.metadata()}
            write_batches(output, schema, written, metadata)
    print(summary(name, "texts", encoder, backend))
    if total:
        print(f"{name}: {counts.words()}")
    if warning := counts.warning(name):
        print(warning, file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
