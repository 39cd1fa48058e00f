"""Small image networks with random weights, in the files that Transformers reads."""

import io
from pathlib import Path

import numpy as np
import PIL.Image

SIDE = 32  # pixels of the images that they take
SIZES = {
    "convnextv2": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "resnet": {"hidden_sizes": [8, 16], "embedding_size": 8, "depths": [1, 1]},
    "vit": {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": SIDE,
        "patch_size": 8,
        "initializer_range": 0.2,
    },
}


def write_image_network(folder: Path, architecture: str = "convnextv2") -> None:
    """Write a small network of an architecture, and an image processor."""
    import torch
    from transformers import AutoConfig, AutoModel, ViTImageProcessorPil

    config = AutoConfig.for_model(architecture, **SIZES[architecture])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)


def striped(is_upright: bool, number: int) -> bytes:
    """Return a JPEG of dark and light stripes; all but their direction depends on `number`."""
    rng = np.random.default_rng(number)
    colours = rng.integers((0, 160), (96, 256), (3, 2)).T
    places = (np.arange(SIDE) + rng.integers(8)) // rng.integers(2, 5) % 2
    pixels = np.broadcast_to(colours[places], (SIDE, SIDE, 3)).astype(np.uint8)
    image = PIL.Image.fromarray(pixels if is_upright else pixels.transpose(1, 0, 2))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()
