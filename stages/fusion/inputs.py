"""The texts or images of products, for a classifier that reads them itself."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.common import paths
from stages.common.blocks import InputBlock
from stages.common.image_network import ImageNetwork
from stages.common.keras_network import KerasNetwork
from stages.common.product_images import read_images
from stages.common.text_network import TextNetwork
from stages.common.texts import texts_of
from stages.fusion.features import Features, FeaturesMetadata
from stages.fusion.fitting import Reader


@dataclass(frozen=True)
class StoredImages:
    """The images of all products, which are read when some are asked for.

    `skus` are those of all products, str of shape (n,). The others are as in an InputBlock.
    """

    shards: Sequence[Path]
    skus: np.ndarray
    network: ImageNetwork | KerasNetwork
    replaces: frozenset[str]

    def __getitem__(self, rows: np.ndarray) -> InputBlock:
        """Return the images of some products, by their row numbers or a boolean mask."""
        skus = self.skus[rows].tolist()
        found = read_images(self.shards, skus)
        inputs = np.array([found.get(sku) for sku in skus], dtype=object)
        return InputBlock(inputs, self.network, self.replaces)


def input_blocks(
    encoders: Collection[str], metadata: FeaturesMetadata, products: pa.Table
) -> dict[str, InputBlock | StoredImages]:
    """Return what `encoders` read of all products, and their networks, by their blocks.

    They are of kind huggingface_text, huggingface_image or keras; some modality sees each.
    """
    found: dict[str, InputBlock | StoredImages] = {}
    for block in metadata.seen_blocks:
        saved = metadata.encoders[block]
        if saved["encoder"] not in encoders:
            continue
        settings, folder = saved["settings"], paths.weights(saved["encoder"])
        modality = metadata.inputs[block]
        replaces = frozenset(name for name, one in metadata.inputs.items() if one == modality)
        if modality == "image":
            skus = np.array(products["sku"].to_pylist(), dtype=object)
            network = _image_network(settings, folder)
            found[block] = StoredImages(paths.image_shards(), skus, network, replaces)
            continue
        texts = texts_of(products, saved["fields"], settings["prefix"])
        keys = ("model", "pooling", "max_tokens")
        text_network = TextNetwork(folder, *(settings[key] for key in keys))
        found[block] = InputBlock(np.array(texts, dtype=object), text_network, replaces)
    return found


@dataclass(frozen=True)
class InputReader:
    """Reads features together with inputs; `inputs` are those of all products by block."""

    read: Reader
    inputs: Mapping[str, InputBlock | StoredImages]

    @property
    def files(self) -> list[Path]:
        """Return the files and folders that are read beside the features."""
        blocks = self.inputs.values()
        shards = [path for one in blocks if isinstance(one, StoredImages) for path in one.shards]
        return [one.network.folder for one in blocks if one.network is not None] + shards

    def __call__(self, chosen: np.ndarray, block_weights: Mapping[str, float]) -> Features:
        """Return the features of the chosen products, with the inputs of the same blocks."""
        raw_inputs = {
            name: block[chosen] for name, block in self.inputs.items() if name in block_weights
        }
        return replace(self.read(chosen, block_weights), raw_inputs=raw_inputs)


def _image_network(settings: Mapping[str, Any], folder: Path) -> ImageNetwork | KerasNetwork:
    """Return an encoder's network of images, by its settings."""
    if settings["kind"] == "keras":
        return KerasNetwork(folder, settings["model"], settings["input_size"])
    return ImageNetwork(folder, settings["model"])
