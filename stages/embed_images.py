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
from stages.errors import InputError, run_stage
from stages.params import load_params
from stages.tables import IMAGES, embeddings_schema, read_table, vector_column, write_batches

IMAGES_FOLDER = Path("data/images")


def embed_shard(encoder: ImageEncoder, shard: pa.Table, bar: tqdm) -> pa.Table:
    """Embed the pictures of a shard of schema IMAGES; one that occurs twice is embedded once.

    `bar` counts the products whose picture is embedded.
    """
    places: dict[str, list[int]] = {}
    for at, sha256 in enumerate(shard["sha256"].to_pylist()):
        if sha256 is not None:
            places.setdefault(sha256, []).append(at)
    pictures = (
        PIL.Image.open(io.BytesIO(shard["jpeg"][first].as_py())).convert("RGB")
        for first, *_ in places.values()
    )
    rows = np.zeros((len(shard), encoder.size), dtype=np.float32)
    for same, vector in zip(places.values(), encoder.encode(pictures), strict=True):
        rows[same] = vector
        bar.update(len(same))
    present = np.asarray(shard["sha256"].is_valid())
    columns = [shard["sku"], shard["sha256"], vector_column(rows, present)]
    return pa.table(columns, schema=embeddings_schema(encoder.size))


def main() -> None:
    """Embed the pictures with the encoder that the command line names."""
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", required=True, choices=params.image.encoders)
    name = parser.parse_args().encoder
    settings = params.encoders[name]
    weights = Path("data/weights") / name
    facts = {"encoder": name, "weights": asdict(read_manifest(weights))}
    shards = sorted(IMAGES_FOLDER.glob("*.parquet"))
    if not shards:
        raise InputError(f"{IMAGES_FOLDER} holds no pictures: `dvc repro` puts them there")
    hashes = [read_table(shard, IMAGES)["sha256"] for shard in shards]
    total = sum(len(column) - column.null_count for column in hashes)
    encoder = module_of(settings.kind).load(settings, weights)

    def tables() -> Iterator[pa.Table]:
        with tqdm(total=total, desc=name, unit=" pictures") as bar:
            for shard in shards:
                yield embed_shard(encoder, read_table(shard, IMAGES), bar)

    output = Path("data/embeddings/image") / f"{name}.parquet"
    write_batches(output, embeddings_schema(encoder.size), tables(), facts)


if __name__ == "__main__":
    run_stage(main)
