"""Embed every product's picture with one encoder.

Reads the shards of data/images/ and data/weights/<encoder>/; writes
data/embeddings/image/<encoder>.parquet: a row per product, null where there is no picture.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from tqdm import tqdm

from stages.common.errors import InputError
from stages.common.process import run_stage
from stages.common.tables import IMAGES, read_table
from stages.encoders.base import decoded
from stages.encoders.embedding_cache import Embedder, write_embeddings
from stages.encoders.weights.manifest import read_manifest
from stages.params import load_params

IMAGES_FOLDER = Path("data/images")


def embed_shard(embedder: Embedder, shard: pa.Table, bar: tqdm) -> pa.Table:
    """Embed the pictures of a shard of schema IMAGES; one that occurs twice is embedded once.

    `bar` counts the products whose picture is embedded.
    """
    jpegs = shard["jpeg"]
    hashes = shard["sha256"].to_pylist()
    return embedder.table(shard["sku"], hashes, lambda at: decoded(jpegs[at].as_py()), bar)


def main() -> None:
    """Embed the pictures with the encoder that the command line names."""
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", required=True, choices=params.image.encoders)
    name = parser.parse_args().encoder
    read_manifest(Path("data/weights") / name)
    shards = sorted(IMAGES_FOLDER.glob("*.parquet"))
    if not shards:
        raise InputError(f"{IMAGES_FOLDER} holds no pictures: `dvc repro` puts them there")
    hashes = [read_table(shard, IMAGES)["sha256"] for shard in shards]
    total = sum(len(column) - column.null_count for column in hashes)

    def tables(embedder: Embedder, bar: tqdm) -> Iterator[pa.Table]:
        for shard in shards:
            yield embed_shard(embedder, read_table(shard, IMAGES), bar)

    output = Path("data/embeddings/image") / f"{name}.parquet"
    write_embeddings(
        name,
        params.encoders[name],
        params.backend,
        params.precision,
        params.cache,
        output,
        total,
        " pictures",
        tables,
    )


if __name__ == "__main__":
    run_stage(main)
