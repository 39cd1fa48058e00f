"""How fast the embedding stages are in each precision.

Run as `python -m benchmarks.precision_rates`. Decoding and tokenising are counted. Where the image
networks' weights cannot be had, they are random, which changes no time. bfloat16 is timed where the
processor computes in it. With `ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI` a processor with AMX computes
as one with VNNI alone; leave bfloat16 out then, which it emulates at a fraction of the rate.
"""

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.encoders import figures, stage
from benchmarks.measure import in_turn, machine, positive, ratio, table
from stages.common.images import open_jpeg
from stages.encoders.backends.base import Backend
from stages.encoders.backends.openvino import has_bfloat16
from stages.encoders.base import module_of
from stages.encoders.int8 import MIN_INPUTS, write_network
from stages.encoders.weights.obtain import obtain_weights
from stages.params import load_params

ENCODERS = ("resnet50", "convnextv2", "minilm")


def main() -> None:
    """Time every encoder in every precision in turn; print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--inputs", type=positive, default=128)
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=ENCODERS)
    precisions = ["float32", *(["bfloat16"] if has_bfloat16() else []), "int8"]
    parser.add_argument("--precisions", nargs="+", choices=precisions, default=precisions)
    asked = parser.parse_args()
    if asked.inputs < MIN_INPUTS:
        parser.error(f"--inputs: int8 takes {MIN_INPUTS} or more")
    if "float32" not in asked.precisions:
        parser.error("--precisions: the others are compared with float32, name it too")
    params = load_params()
    shard, images_what = inputs.images(asked.inputs)
    texts, texts_what = inputs.texts(asked.inputs, params)
    images = [open_jpeg(jpeg) for jpeg in shard["jpeg"].to_pylist()]
    print(f"{machine()}\n{len(images)} of {images_what}, {len(texts)} of {texts_what}; ", end="")
    print(f"medians of {asked.rounds} rounds in turn, least to most in brackets", flush=True)
    for name in asked.encoders:
        settings = params.encoders[name]
        is_text = settings.modality == "text"
        with tempfile.TemporaryDirectory() as place:
            folder, network = Path(place) / name, Path(place) / "int8"
            network.mkdir()
            obtain_weights(name, settings, folder, "auto", params.seed)
            # Their numbers stand for the hashes of the inputs.
            given: list[Any] = texts if is_text else images
            numbers = list(map(str, range(len(given))))
            read = partial(read_numbers, given)
            write_network(name, settings, folder, numbers, read, network)
            ways = {}
            for precision in asked.precisions:
                weights = network if precision == "int8" else folder
                backend = Backend("openvino", precision)
                encoder = module_of(settings.kind).load(settings, weights, backend)
                way = f"{name}: {precision}"
                ways[way] = stage(encoder, Path(place), texts if is_text else shard)
            rates = in_turn(ways, asked.rounds)
        exact = f"{name}: float32"
        rows = [(way, figures(way, found)) for way, found in rates.items()]
        rows += [
            (f"{way} / float32", f"{ratio(rates, way, exact):.2f}") for way in rates if way != exact
        ]
        print(table(rows), flush=True)


def read_numbers(given: Sequence[Any], numbers: Sequence[str]) -> list[Any]:
    """Return the inputs of some numbers."""
    return [given[int(number)] for number in numbers]


if __name__ == "__main__":
    main()
