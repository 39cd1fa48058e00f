"""Embed every product's image with one encoder.

Reads the shards of data/images/ and data/weights/<encoder>/; writes
data/embeddings/image/<encoder>.parquet: a row per product, null where there is no image; and
data/networks/<encoder>/: the network in int8, nothing in other precisions.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing
from itertools import starmap

import pyarrow as pa

from stages.common import paths
from stages.common.errors import InputError
from stages.common.images import Pixels, open_jpeg
from stages.common.process import run_stage
from stages.common.product_images import read_images
from stages.common.progress import progress_bar
from stages.common.tables import (
    IMAGES,
    check_schema,
    embeddings_schema,
    metadata_of,
    read_schema,
    read_table,
    write_batches,
)
from stages.compute.selection import select_workers
from stages.encoders.embedding_cache import Part
from stages.encoders.int8 import weights_to_run
from stages.encoders.table_encoder import (
    embeddings_table,
    open_encoder,
    summary,
    table_metadata,
)
from stages.encoders.weights.manifest import read_manifest
from stages.params import load_params


def part_of(shard: pa.Table) -> Part:
    """Return the images of a shard of schema IMAGES as an encoder takes them."""
    return Part(shard["sku"], shard["jpeg"].to_pylist(), shard["sha256"].to_pylist())


def image_hashes() -> tuple[list[str], int]:
    """Return the SHA-256 of each product's image, if it has one, and the images' side in pixels.

    Raises InputError where the shards are not right.
    """
    if not paths.image_shards():
        raise InputError(f"{paths.IMAGES} holds no images: `dvc repro` puts them there")
    hashes: list[str] = []
    for shard in paths.image_shards():
        schema = read_schema(shard)
        check_schema(shard, schema, IMAGES)
        if "size" not in metadata_of(schema):
            raise InputError(f"{shard} does not say its size: `dvc repro -f` rebuilds it")
        hashes += read_table(shard, columns=["sha256"])["sha256"].drop_null().to_pylist()
    return hashes, metadata_of(schema)["size"]


def chosen_images(hashes: Sequence[str]) -> list[Pixels]:
    """Return the images that have these SHA-256."""
    jpegs = read_images(paths.image_shards(), hashes, key="sha256")
    return [open_jpeg(jpegs[sha256]) for sha256 in hashes]


def main() -> None:
    """Embed the images with the encoder that the command line names."""
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", required=True, choices=params.image.encoders)
    name = parser.parse_args().encoder
    settings = params.encoders[name]
    read_manifest(paths.weights(name))  # raises an error where there are none
    hashes, size = image_hashes()
    how = params.backend, params.precision
    folder = weights_to_run(name, settings, *how, params.seed, hashes, chosen_images)
    options = *how, params.cache, open_jpeg
    use_gpus = params.backend != "openvino"
    workers = select_workers(params.compute, use_gpus, [folder]) if hashes else None
    parts = (part_of(read_table(shard, IMAGES)) for shard in paths.image_shards())
    with (
        open_encoder(settings, folder, *options, has_input=bool(hashes), workers=workers) as (
            encoder,
            backend,
        ),
        progress_bar(name, " images", len(hashes)) as bar,
        closing(encoder.encode(parts, bar.update)) as encoded,
    ):
        write_batches(
            paths.embeddings("image", name),
            embeddings_schema(encoder.n_features),
            starmap(embeddings_table, encoded),
            table_metadata(name, settings, read_manifest(folder), encoder, backend)
            | {"image_size": size},
        )
    print(summary(name, "images", encoder, backend))


if __name__ == "__main__":
    run_stage(main)
