"""What it costs to tune a network: seconds for each product and epoch, by one thread.

Run as `python -m benchmarks.tuning`. The first epoch counts apart: in it the frozen layers compute
what they give for each product, which is kept. Labels are drawn, for time does not depend on them.
Where ConvNeXtV2's weights cannot be had, they are random, which changes no time.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import inputs
from benchmarks.measure import machine, positive, table
from stages.classifiers import finetuned, finetuned_image
from stages.classifiers.base.epochs import reproducible
from stages.classifiers.base.tuning import tune
from stages.common.image_network import ImageNetwork
from stages.common.text_network import TextNetwork
from stages.encoders.weights.obtain import obtain_weights
from stages.params import load_params

CLASSES = [f"class {i}" for i in range(10)]
LATER = 2  # epochs that are timed after the first one
WARM_UP = 8  # inputs of an epoch before, for libraries take time when they are first used
# What is tuned: the classifier, and what differs from its defaults.
WAYS: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "minilm, layers: 3": (finetuned, {}),
    "minilm, layers: all": (finetuned, {"layers": "all"}),
    "minilm, layers: all, lora: 8": (finetuned, {"layers": "all", "lora": 8}),
    "convnextv2, layers: 1, mirrors: false": (finetuned_image, {"mirrors": False}),
    "convnextv2, layers: 1": (finetuned_image, {}),
    "convnextv2, layers: all": (finetuned_image, {"layers": "all"}),
}


def main() -> None:
    """Time each way and print milliseconds for each product."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=positive, default=96)
    parser.add_argument("--texts", type=positive, default=512)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    asked = parser.parse_args()
    params = load_params()
    shard, what = inputs.images(asked.images)
    texts, texts_what = inputs.texts(asked.texts, params)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        networks = {}
        for encoder in ("minilm", "convnextv2"):
            entry: Any = params.encoders[encoder]
            folder = Path(name) / encoder
            obtain_weights(encoder, entry, folder, "auto", params.seed)
            networks[encoder] = (
                ImageNetwork(folder, entry.model)
                if encoder == "convnextv2"
                else TextNetwork(folder, entry.model, entry.pooling, entry.max_tokens)
            )
        for way in asked.ways:
            kind, changes = WAYS[way]
            given = texts if kind is finetuned else shard["jpeg"].to_pylist()
            first, later = seconds(kind, changes, networks[way.partition(",")[0]], given)
            figures = f"{1000 * first / len(given):.0f} ms, {1000 * later / len(given):.0f} ms"
            rows.append((way, figures))
    print(f"{machine()}; one thread\n{len(shard)} of {what}, {len(texts)} of {texts_what}")
    print("a product in the first epoch, and in each later one\n")
    print(table(rows))


def seconds(
    kind: Any, changes: Mapping[str, Any], network: Any, given: Sequence[Any]
) -> tuple[float, float]:
    """Return the seconds of the first epoch and of a later one, both after a short warm-up."""
    y = np.random.default_rng(0).choice(CLASSES, len(given))
    taken = []
    for epochs, count in ((1, WARM_UP), (1, len(given)), (1 + LATER, len(given))):
        settings = kind.Settings(max_epochs=epochs, **changes)
        with reproducible(0):
            tuned = kind.Classifier.tuned_network(settings, network, "cpu")
            start = time.perf_counter()
            tune(settings, CLASSES, tuned, (given[:count], y[:count]), None)
            taken.append(time.perf_counter() - start)
    _, first, whole = taken
    return first, (whole - first) / LATER


if __name__ == "__main__":
    main()
