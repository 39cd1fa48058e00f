"""Embed every product's image with one encoder.

Reads the shards of data/images/ and data/weights/<encoder>/; writes
data/embeddings/image/<encoder>.parquet: a row per product, null where there is no image.
"""

import argparse

import pyarrow as pa

from stages.common import paths
from stages.common.errors import InputError
from stages.common.process import run_stage
from stages.common.tables import (
    IMAGES,
    check_schema,
    embeddings_schema,
    metadata_of,
    read_schema,
    read_table,
    write_batches,
)
from stages.encoders.embedding_cache import (
    Progress,
    TableEncoder,
    embeddings_table,
    open_encoder,
    summary,
    table_metadata,
)
from stages.encoders.images import open_jpeg
from stages.encoders.weights.manifest import read_manifest
from stages.params import load_params


def embed_shard(encoder: TableEncoder, shard: pa.Table, progress: Progress) -> pa.Table:
    """Embed the images of a shard of schema IMAGES; one that occurs twice is embedded once."""
    hashes = shard["sha256"].to_pylist()
    vectors = encoder.encode(shard["jpeg"].to_pylist(), hashes, progress)
    return embeddings_table(shard["sku"], hashes, vectors)


def count_images() -> tuple[int, int]:
    """Return how many products have an image, and the side of the images in pixels.

    Raises InputError where the shards are not right.
    """
    if not paths.image_shards():
        raise InputError(f"{paths.IMAGES} holds no images: `dvc repro` puts them there")
    total = 0
    for shard in paths.image_shards():
        schema = read_schema(shard)
        check_schema(shard, schema, IMAGES)
        if "size" not in metadata_of(schema):
            raise InputError(f"{shard} does not say its size: `dvc repro -f` rebuilds it")
        column = read_table(shard, columns=["sha256"])["sha256"]
        total += len(column) - column.null_count
    return total, metadata_of(schema)["size"]


def main() -> None:
    """Embed the images with the encoder that the command line names."""
    from tqdm import tqdm

    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", required=True, choices=params.image.encoders)
    name = parser.parse_args().encoder
    settings, folder = params.encoders[name], paths.weights(name)
    manifest, (total, size) = read_manifest(folder), count_images()
    options = params.backend, params.precision, params.cache, open_jpeg
    with (
        open_encoder(settings, folder, *options, has_input=total > 0) as (encoder, backend),
        tqdm(total=total, desc=name, unit=" images") as bar,
    ):
        write_batches(
            paths.embeddings("image", name),
            embeddings_schema(encoder.n_features),
            (
                embed_shard(encoder, read_table(shard, IMAGES), bar.update)
                for shard in paths.image_shards()
            ),
            table_metadata(name, settings, manifest, encoder, backend) | {"image_size": size},
        )
    print(summary(name, "images", encoder, backend))


if __name__ == "__main__":
    run_stage(main)
