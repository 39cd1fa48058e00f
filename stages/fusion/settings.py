"""What params.yaml says of fusion: `fusion` and `modalities`."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from stages.common.settings import Positive, PositiveFloat, Settings, Slug


class FusionSettings(Settings):
    """How a model that sees image and text joins them.

    The weights of encoders, 1 unless named, say how the blocks of a modality share its weight.
    """

    strategy: Literal["hybrid", "early", "late"]
    image: PositiveFloat
    text: PositiveFloat
    encoders: dict[Slug, PositiveFloat]
    svd_components: Positive


class ModalitySettings(Settings):
    """What a model sees: every embedding of a folder, or those of the encoders that it names."""

    embeddings: Literal["data/embeddings", "data/embeddings/image", "data/embeddings/text"]
    encoders: Annotated[list[Slug], Field(min_length=1)] | None = None


def block_weights(fusion: FusionSettings, modalities: Mapping[str, str]) -> dict[str, float]:
    """Return what each block is multiplied with when blocks are put side by side.

    `modalities` says of each encoder whether it embeds the image or the text. Blocks are of unit
    length, and so are the rows of all of them, weighted: the squares of the weights add up to 1.
    Image and text share them as the squares of their weights in `fusion`, and so do the encoders
    of each.
    """
    squares: dict[str, float] = {}
    for modality, weight in (("image", fusion.image), ("text", fusion.text)):
        own = {
            name: fusion.encoders.get(name, 1.0) ** 2
            for name, found in modalities.items()
            if found == modality
        }
        squares |= {name: weight**2 * part / sum(own.values()) for name, part in own.items()}
    total = sum(squares.values())
    return {name: (square / total) ** 0.5 for name, square in squares.items()}
