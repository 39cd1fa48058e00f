"""A catalogue whose images and texts are told apart by networks that are tuned to them alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from helpers.encoders import described_encoder
from helpers.image_networks import SIDE, striped, write_image_network
from helpers.repository import TOP
from helpers.text_networks import write_text_network
from ruamel.yaml import YAML

from stages.common.paths import FEATURES, IMAGES, PRODUCTS, SPLITS, weights
from stages.common.settings import Settings
from stages.common.splits import Splits, write_splits
from stages.common.tables import IMAGES as IMAGES_SCHEMA
from stages.common.tables import PRODUCTS as PRODUCTS_SCHEMA
from stages.common.tables import features_schema, to_arrow, write_table
from stages.download.image_conversion import to_jpeg
from stages.encoders.huggingface_image import Settings as ImageSettings
from stages.encoders.huggingface_text import Settings as TextSettings
from stages.encoders.weights.huggingface import WEIGHTS
from stages.encoders.weights.manifest import Manifest, digest, write_manifest

N = 150
ROLES = np.array(["train", "train", "train", "validation", "test"] * (N // 5))
IS_UPRIGHT = np.random.default_rng(0).integers(2, size=N).astype(bool)
IS_BOX = np.random.default_rng(1).integers(2, size=N).astype(bool)
SKUS = np.array([f"s{i:03d}" for i in range(N)], dtype=object)
WITHOUT_IMAGE = 9  # a product for testing
JPEGS = [to_jpeg(striped(bool(one), number), SIDE) for number, one in enumerate(IS_UPRIGHT)]
TEXTS = [f"a {'square' if one else 'round'} thing for home" for one in IS_BOX]
# The frozen vectors say nothing of the class.
SIZES = {"convnextv2": 16, "minilm": 32}


def write_catalogue(classifiers: Mapping[str, Any], strategy: str, labels: np.ndarray) -> None:
    """Write what `train` reads: products in two shards of images, one of them without an image.

    The stripes of an image say whether a product is upright, a word of its text whether it is a
    box. `labels`, str (N,), are its class.
    """
    params = YAML(typ="safe").load(TOP / "params.yaml")
    params["classifiers"], params["jobs"] = dict(classifiers), 2
    params["fusion"]["strategy"] = strategy
    Path("params.yaml").write_text(json.dumps(params))
    write_image_network(weights("convnextv2"))
    write_text_network(weights("minilm"), sorted({word for text in TEXTS for word in text.split()}))
    image = ImageSettings(kind="huggingface_image", model="lab/network")
    text = TextSettings(kind="huggingface_text", model="lab/network", max_tokens=16)
    encoders = {
        "convnextv2": _described("convnextv2", "image", image) | {"image_size": SIDE},
        "minilm": _described("minilm", "text", text) | {"fields": ["name"]},
    }
    groups = np.array([f"g{i}" for i in range(N)], dtype=object)
    turns = np.zeros((N, 1), dtype=np.int32)
    write_splits(SPLITS, Splits(SKUS, labels, groups, ROLES[:, None], turns))
    columns = [SKUS.tolist(), TEXTS, *([[""] * N] * 2), labels.tolist(), [None] * N]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, PRODUCTS_SCHEMA, strict=True)]
    write_table(PRODUCTS, pa.table(arrays, schema=PRODUCTS_SCHEMA))
    there = np.arange(N) != WITHOUT_IMAGE
    rows = [
        {"sku": sku, "jpeg": jpeg if has else None, "status": "ok" if has else "none"}
        for sku, jpeg, has in zip(SKUS, JPEGS, there, strict=True)
    ]
    rows = [dict.fromkeys(IMAGES_SCHEMA.names) | row for row in rows]
    for part, file in ((rows[:70], "part-0.parquet"), (rows[70:], "part-1.parquet")):
        write_table(IMAGES / file, pa.Table.from_pylist(part, schema=IMAGES_SCHEMA))
    rng = np.random.default_rng(1)
    vectors = {name: rng.normal(size=(N, size)).astype(np.float32) for name, size in SIZES.items()}
    blocks = [
        to_arrow(
            one / np.linalg.norm(one, axis=1, keepdims=True),
            there if name == "convnextv2" else np.ones(N, dtype=bool),
        )
        for name, one in vectors.items()
    ]
    metadata = {
        "encoders": encoders,
        "inputs": {"convnextv2": "image", "minilm": "text"},
        "n_features": SIZES,
        "svd_components": {},
        "modalities": {
            "image": {"convnextv2": 1.0},
            "multimodal": {"convnextv2": 0.6, "minilm": 0.8},
        },
    }
    schema = features_schema(SIZES)
    write_table(FEATURES, pa.table([pa.array(SKUS.tolist()), *blocks], schema=schema), metadata)


def _described(name: str, modality: str, settings: Settings) -> dict[str, Any]:
    """Write the manifest of an encoder's weights; return what its table of vectors says of it."""
    folder = weights(name)
    manifest = Manifest("pretrained", "lab", None, digest(folder, WEIGHTS))
    write_manifest(folder, manifest, settings.weights_request())
    encoder = described_encoder(name, modality, kind="pretrained", sha256=manifest.sha256)
    encoder["settings"] = settings.model_dump(mode="json")
    encoder["weights"]["origin"] = "lab"
    return encoder
