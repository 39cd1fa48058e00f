"""Embed every product's picture with one encoder.

Reads the shards of data/images/ and data/weights/<encoder>/; writes
data/embeddings/image/<encoder>.parquet: a row per product, null where there is no picture.
"""

import argparse
import io
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
from tqdm import tqdm

from stages.encoders import ImageEncoder, module_of
from stages.encoders.weights import read_manifest
from stages.errors import run_stage
from stages.params import load_params
from stages.tables import IMAGES, embeddings_schema, read_table, vector_column, write_batches

IMAGES_FOLDER = Path("data/images")


def embed_shard(encoder: ImageEncoder, shard: pa.Table) -> pa.Table:
    """Embed the pictures of a shard of schema IMAGES; one that occurs twice is embedded once."""
    hashes = shard["sha256"].to_pylist()
    first = {sha256: at for at, sha256 in reversed(list(enumerate(hashes))) if sha256 is not None}
    order = sorted(first.values())
    pictures = (
        PIL.Image.open(io.BytesIO(shard["jpeg"][at].as_py())).convert("RGB") for at in order
    )
    vectors = dict(zip((hashes[at] for at in order), encoder.encode(pictures), strict=True))
    rows = np.zeros((len(shard), encoder.size), dtype=np.float32)
    for at, sha256 in enumerate(hashes):
        if sha256 is not None:
            rows[at] = vectors[sha256]
    present = np.asarray(shard["sha256"].is_valid())
    columns = [shard["sku"], shard["sha256"], vector_column(rows, present)]
    return pa.table(columns, schema=embeddings_schema(encoder.size))


def main() -> None:
    """Embed the pictures with the encoder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", required=True, help="its name under `encoders` in params.yaml")
    name = parser.parse_args().encoder
    settings = load_params().encoders[name]
    weights = Path("data/weights") / name
    encoder = module_of(settings.kind).load(settings, weights)
    shards = sorted(IMAGES_FOLDER.glob("*.parquet"))

    def tables() -> Iterator[pa.Table]:
        for shard in tqdm(shards, desc=name, unit="shard"):
            yield embed_shard(encoder, read_table(shard, IMAGES))

    facts = {"encoder": name, "weights": asdict(read_manifest(weights))}
    output = Path("data/embeddings/image") / f"{name}.parquet"
    write_batches(output, embeddings_schema(encoder.size), tables(), facts)


if __name__ == "__main__":
    run_stage(main)
