"""Which blocks params.yaml makes, and how they share the weight."""

import pytest

from stages.common.errors import InputError
from stages.fusion.settings import (
    Block,
    FusionSettings,
    ModalitySettings,
    all_blocks,
    block_weights,
    blocks_of,
)

FUSION = FusionSettings(
    strategy="hybrid", image=1.0, text=1.0, encoders={"clip": 2.0}, svd_components=4
)


def test_a_block_is_named_by_its_encoder():
    assert all_blocks(["resnet"], ["minilm"]) == {
        "resnet": Block("resnet", "image"),
        "minilm": Block("minilm", "text"),
    }


def test_an_encoder_of_image_and_text_has_two_blocks():
    blocks = all_blocks(["resnet", "clip"], ["clip"])
    assert blocks == {
        "resnet": Block("resnet", "image"),
        "clip_image": Block("clip", "image"),
        "clip_text": Block("clip", "text"),
    }
    everything = ModalitySettings(embeddings="data/embeddings")
    image = ModalitySettings(embeddings="data/embeddings/image")
    named = ModalitySettings(embeddings="data/embeddings", encoders=["clip"])
    assert blocks_of(everything, blocks) == blocks
    assert list(blocks_of(image, blocks)) == ["resnet", "clip_image"]
    assert list(blocks_of(named, blocks)) == ["clip_image", "clip_text"]
    weights = block_weights(FUSION, blocks)
    assert weights["clip_image"] / weights["resnet"] == pytest.approx(2)
    assert weights["clip_text"] ** 2 == pytest.approx(0.5)


def test_two_blocks_of_one_name_are_refused():
    with pytest.raises(InputError, match="two encoders make a block clip_image"):
        all_blocks(["clip_image", "clip"], ["clip"])
