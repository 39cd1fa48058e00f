"""The training products that a prediction can be compared with: an index of their vectors."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.common.product_images import read_images, thumbnail
from stages.fusion.features import Features, unit_length
from stages.fusion.preprocessing import BlockPreprocessor

MAX_PRODUCTS = 5000
THUMBNAIL = 112  # pixels of the longer side
QUALITY = 80


def sample_rows(chosen: np.ndarray, seed: int) -> np.ndarray:
    """Return `chosen`, boolean (n,), with at most MAX_PRODUCTS rows left, drawn at random."""
    rows = np.flatnonzero(chosen)
    if len(rows) > MAX_PRODUCTS:
        rows = np.random.default_rng(seed).permutation(rows)[:MAX_PRODUCTS]
    sampled = np.zeros(len(chosen), dtype=bool)
    sampled[rows] = True
    return sampled


def neighbor_vectors(preprocessor: BlockPreprocessor, features: Features) -> np.ndarray:
    """Return what products are compared by, float32 of shape (n, sum of sizes), of unit length.

    It is what a classifier sees of all blocks side by side; a missing block is zeros.
    """
    return unit_length(preprocessor.transform(features).concatenate())


def neighbors_table(
    skus: Sequence[str],
    names: Mapping[str, str],
    labels: Sequence[str],
    vectors: np.ndarray,
    thumbnails: Mapping[str, bytes],
) -> pa.Table:
    """Return the table of an index: a row per product, in the order of `skus`.

    Names and thumbnails are found by sku; a product without an image has no thumbnail.
    """
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float16).ravel())
    return pa.table(
        {
            "sku": pa.array(skus, pa.string()),
            "name": pa.array([names[sku] for sku in skus], pa.string()),
            "label": pa.array(labels, pa.string()),
            "thumbnail": pa.array([thumbnails.get(sku) for sku in skus], pa.binary()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    )


def read_thumbnails(shards: Sequence[Path], skus: Sequence[str]) -> dict[str, bytes]:
    """Return small JPEGs of the images of products, by sku."""
    images = read_images(shards, skus)
    return {sku: thumbnail(jpeg, THUMBNAIL, QUALITY) for sku, jpeg in images.items()}
