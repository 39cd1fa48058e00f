"""Which blocks params.yaml makes, and how they share the weight."""

import numpy as np
import pytest

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


def test_a_modality_sees_the_blocks_of_its_folder_and_of_its_encoders():
    blocks = all_blocks(["resnet", "clip"], ["minilm"])
    everything = ModalitySettings(embeddings="data/embeddings")
    image = ModalitySettings(embeddings="data/embeddings/image")
    named = ModalitySettings(embeddings="data/embeddings", encoders=["clip", "minilm"])
    assert blocks_of(everything, blocks) == blocks
    assert list(blocks_of(image, blocks)) == ["resnet", "clip"]
    assert list(blocks_of(named, blocks)) == ["clip", "minilm"]
    weights = block_weights(FUSION, blocks)
    assert weights["clip"] / weights["resnet"] == pytest.approx(2)
    assert weights["minilm"] ** 2 == pytest.approx(0.5)


@pytest.mark.parametrize(("image", "text"), [(1e-6, 1e6), (1e6, 1e-6), (1e-6, 1e-6), (1e6, 1e6)])
def test_the_smallest_and_the_largest_weights_still_share_a_row(image, text):
    encoders = {"clip": 1e-6, "resnet": 1e6}
    fusion = FusionSettings.model_validate(
        FUSION.model_dump() | {"image": image, "text": text, "encoders": encoders}
    )
    weights = block_weights(fusion, all_blocks(["resnet", "clip"], ["minilm"]))
    assert all(np.float32(weight) > 0 for weight in weights.values())
    assert sum(weight**2 for weight in weights.values()) == pytest.approx(1)
