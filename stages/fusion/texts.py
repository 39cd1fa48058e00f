"""The texts of products, for a classifier that reads them itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from stages.common import paths
from stages.common.blocks import TextBlock
from stages.common.errors import InputError
from stages.common.text_network import TextNetwork
from stages.common.texts import texts_of
from stages.fusion.features import Features, FeaturesMetadata
from stages.fusion.training import Reader

KIND = "huggingface_text"  # of the encoders whose networks can be tuned


def text_blocks(
    encoder: str, kind: str, metadata: FeaturesMetadata, products: pa.Table
) -> dict[str, TextBlock]:
    """Return the texts that `encoder` read of all products, and its network, by its block.

    `kind` is the classifier's, which errors name. Raises InputError where no modality sees the
    encoder, or where its network is none that can be tuned.
    """
    found = {}
    for block in metadata.seen_blocks:
        saved = metadata.encoders[block]
        if saved["encoder"] != encoder:
            continue
        settings = saved["settings"]
        if settings["kind"] != KIND:
            raise InputError(
                f"classifiers.{kind}.encoder names {encoder}, of kind {settings['kind']}: name an "
                f"encoder of kind {KIND}"
            )
        texts = texts_of(products, saved["fields"], settings["prefix"])
        keys = ("model", "pooling", "max_tokens")
        network = TextNetwork(paths.weights(encoder), *(settings[key] for key in keys))
        of_text = frozenset(name for name, input in metadata.inputs.items() if input == "text")
        found[block] = TextBlock(np.array(texts, dtype=object), network, of_text)
    if not found:
        seen = ", ".join(metadata.seen_blocks)
        raise InputError(
            f"classifiers.{kind}.encoder names {encoder}, which no modality sees: add it to "
            f"text.encoders, or name one of {seen}"
        )
    return found


@dataclass(frozen=True)
class TextReader:
    """Reads features together with texts; `texts` are those of all products by block."""

    read: Reader
    texts: Mapping[str, TextBlock]

    def __call__(self, chosen: np.ndarray) -> tuple[Features, np.ndarray]:
        """Return the features of the chosen products that have a block, and their row numbers."""
        features, rows = self.read(chosen)
        texts = {name: block[rows] for name, block in self.texts.items()}
        return replace(features, texts=texts), rows
