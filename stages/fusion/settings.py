"""What params.yaml says of fusion, `fusion` and `modalities`, and which blocks that makes."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from stages.common.settings import Positive, Settings, Slug

RESERVED = (
    "best_model",
    "coverage",
    "fusion_gain",
    "near_duplicates_in_training",
    "scores",
    "weights",
)  # names that no modality may have: metrics use them as keys

# Beyond these, the squares of weights are no numbers any more, or zero.
Weight = Annotated[float, Field(ge=1e-6, le=1e6)]


class FusionSettings(Settings):
    """How a model that sees image and text fuses them.

    The weights of encoders, 1 unless named, say how the blocks of a modality share its weight.
    """

    strategy: Literal["hybrid", "early", "late"]
    image: Weight
    text: Weight
    encoders: dict[Slug, Weight]
    svd_components: Positive


class EnsembleSettings(Settings):
    """Which classifiers are pooled into one more model of each modality; of those trained."""

    classifiers: list[Slug]


class ModalitySettings(Settings):
    """What a model sees: every embedding of a folder, or those of the encoders that it names."""

    embeddings: Literal["data/embeddings", "data/embeddings/image", "data/embeddings/text"]
    encoders: Annotated[list[Slug], Field(min_length=1)] | None = None


class Block(NamedTuple):
    """An encoder's vectors of one input of the products: the image or the text."""

    encoder: str
    input: str


def all_blocks(image_encoders: Iterable[str], text_encoders: Iterable[str]) -> dict[str, Block]:
    """Return the blocks of all encoders, which name them, those of the image first."""
    listed = {"image": image_encoders, "text": text_encoders}
    return {name: Block(name, one) for one, encoders in listed.items() for name in encoders}


def blocks_of(modality: ModalitySettings, blocks: Mapping[str, Block]) -> dict[str, Block]:
    """Return those of `blocks` that a modality sees."""
    folder = modality.embeddings.removeprefix("data/embeddings").removeprefix("/")
    return {
        name: block
        for name, block in blocks.items()
        if folder in ("", block.input)
        and (modality.encoders is None or block.encoder in modality.encoders)
    }


def block_weights(fusion: FusionSettings, blocks: Mapping[str, Block]) -> dict[str, float]:
    """Return what each block is multiplied with when blocks are put side by side.

    Blocks are of unit length, and so are the rows of all of them, weighted: the squares of the
    weights add up to 1. Image and text share them as the squares of their weights in `fusion`, and
    so do the encoders of each.
    """
    squares: dict[str, float] = {}
    for modality, weight in (("image", fusion.image), ("text", fusion.text)):
        own = {
            name: fusion.encoders.get(block.encoder, 1.0) ** 2
            for name, block in blocks.items()
            if block.input == modality
        }
        squares |= {name: weight**2 * part / sum(own.values()) for name, part in own.items()}
    total = sum(squares.values())
    return {name: (square / total) ** 0.5 for name, square in squares.items()}
