"""How fast the embedding stages are, beside the encoders' own frameworks and the machine's limit.

Run as `python -m benchmarks.encoders`. Decoding and tokenising are counted on both sides. Where the
image networks' weights cannot be had, they are random, which changes no time.
"""

import argparse
import io
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa

from benchmarks import inputs
from benchmarks.measure import in_turn, machine, positive, ratio, table
from stages import embed_images, embed_text
from stages.common.images import open_jpeg
from stages.common.keras_network import LAYERS_FILE, WEIGHTS_FILE
from stages.common.keras_weights import import_keras, restore_variables
from stages.common.kv_store import SqliteCache
from stages.encoders.backends.base import Backend
from stages.encoders.backends.selection import select_backend
from stages.encoders.base import module_of
from stages.encoders.embedding_cache import CachedEncoder, Part
from stages.encoders.table_encoder import TableEncoder, embeddings_table
from stages.encoders.weights.manifest import package_folder
from stages.encoders.weights.obtain import obtain_weights
from stages.params import Params, load_params

SIDE = 2048  # of the matrices whose product is timed


def main() -> None:
    """Time every way in turn and print their medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--images", type=positive, default=64)
    parser.add_argument("--texts", type=positive, default=512)
    asked = parser.parse_args()
    params = load_params()
    shard, what = inputs.images(asked.images)
    texts, texts_what = inputs.texts(asked.texts, params)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backend = select_backend(params.encoders["resnet50"], "openvino", "auto")
        ways = ways_of(params, folder, backend, shard, texts)
        rates = in_turn(ways, asked.rounds)
        flops = resnet50_flops(folder / "resnet50")
    print(
        f"{machine()}\n{backend.precision}; {len(shard)} of {what}, {len(texts)} of {texts_what}; "
    )
    print(f"medians of {asked.rounds} rounds in turn, least to most in brackets\n")
    print(table([(way, figures(way, found)) for way, found in rates.items()]))
    stage = statistics.median(rates["resnet50: stage"])
    limit = statistics.median(rates["matrix product"])
    ratios = {
        "resnet50: stage / keras predict": ratio(rates, "resnet50: stage", "resnet50: keras"),
        "resnet50: stage / bare network": ratio(rates, "resnet50: stage", "resnet50: bare"),
        "resnet50: stage / matrix product, in FLOP/s": stage * flops / limit,
        "convnextv2: stage / transformers": ratio(
            rates, "convnextv2: stage", "convnextv2: transformers"
        ),
        "convnextv2: stage / bare network": ratio(rates, "convnextv2: stage", "convnextv2: bare"),
        "minilm: stage / sentence-transformers": ratio(
            rates, "minilm: stage", "minilm: sentence-transformers"
        ),
        "minilm: stage / bare network": ratio(rates, "minilm: stage", "minilm: bare"),
    }
    print("\n" + table([(name, f"{value:.2f}") for name, value in ratios.items()]))


def ways_of(
    params: Params, folder: Path, backend: Backend, shard: pa.Table, texts: list[str]
) -> dict[str, Callable[[], float]]:
    """Return what is timed: each way embeds all images or texts and returns how many."""
    for name in ("resnet50", "convnextv2", "minilm"):
        obtain_weights(name, params.encoders[name], folder / name, "auto", params.seed)
    jpegs = shard["jpeg"].to_pylist()
    own = {
        "resnet50": keras_predict(folder / "resnet50", jpegs),
        "convnextv2": transformers_eager(folder / "convnextv2", jpegs),
        "minilm": sentence_transformer(
            params.encoders["minilm"].weights_request()["package"], texts
        ),
    }
    frameworks = ("keras", "transformers", "sentence-transformers")
    ways = {}
    for (name, reference), framework in zip(own.items(), frameworks, strict=True):
        settings = params.encoders[name]
        encoder = module_of(settings.kind).load(settings, folder / name, backend)
        given = texts if name == "minilm" else list(map(open_jpeg, jpegs))
        ways[f"{name}: {framework}"] = reference
        ways[f"{name}: bare"] = bare(encoder, given)
        ways[f"{name}: stage"] = stage(encoder, folder, texts if name == "minilm" else shard)
    ways["matrix product"] = matrix_product(backend)
    return ways


def stage(encoder: Any, folder: Path, given: list[str] | pa.Table) -> Callable[[], float]:
    """Embed as the stage does, with decoding or tokenising, into an empty cache."""

    def run() -> float:
        with (
            tempfile.TemporaryDirectory(dir=folder) as place,
            SqliteCache(Path(place) / "rows.sqlite", 10**9) as store,
        ):
            if isinstance(given, list):
                cached = CachedEncoder(encoder, "benchmark", store)
                skus = pa.chunked_array([list(map(str, range(len(given))))])
                part = embed_text.part_of(skus, given)
            else:
                cached = CachedEncoder(encoder, "benchmark", store, open_jpeg)
                part = embed_images.part_of(given)
            embed(part, cached)
        return len(given)

    return run


def embed(part: Part, encoder: TableEncoder) -> None:
    """Make the table of a part's vectors."""
    for found in encoder.encode([part], lambda count: None):
        embeddings_table(*found)


def bare(encoder: Any, given: list[Any]) -> Callable[[], float]:
    """Run the network alone, on inputs that were prepared before, in the stage's order."""
    rows = [
        encoder.prepare(one)
        for one in (sorted(given, key=len) if isinstance(given[0], str) else given)
    ]
    return lambda: len(encoder.network.run(iter(rows)))


def keras_predict(folder: Path, jpegs: list[bytes]) -> Callable[[], float]:
    """Embed with Keras as its users do: keras.Model.predict, 32 at a time."""
    keras = import_keras()
    network = keras.models.model_from_json((folder / LAYERS_FILE).read_text())
    restore_variables(network, folder / WEIGHTS_FILE)

    def run() -> float:
        pixels = np.stack([np.asarray(open_jpeg(jpeg), dtype=np.float32) for jpeg in jpegs])
        pixels = keras.applications.resnet50.preprocess_input(pixels)
        return len(network.predict(pixels, batch_size=32, verbose=0))

    return run


def transformers_eager(folder: Path, jpegs: list[bytes]) -> Callable[[], float]:
    """Embed with Transformers as its users do: eager, float32, 16 at a time."""
    import torch
    from transformers import AutoImageProcessor, AutoModel

    processor = AutoImageProcessor.from_pretrained(folder)
    network = AutoModel.from_pretrained(folder).eval()

    def run() -> float:
        with torch.inference_mode():
            for start in range(0, len(jpegs), 16):
                files = map(io.BytesIO, jpegs[start : start + 16])
                images = [PIL.Image.open(file).convert("RGB") for file in files]
                network(**processor(images, return_tensors="pt"))
        return len(jpegs)

    return run


def sentence_transformer(
    package: str, texts: list[str], device: str = "cpu", batch_size: int = 32
) -> Callable[[], float]:
    """Embed with SentenceTransformer.encode, mean pooling as it ships."""
    from sentence_transformers import SentenceTransformer

    folder = package_folder(package, "model.safetensors")
    network = SentenceTransformer(str(folder), device=device, local_files_only=True)
    return lambda: len(network.encode(texts, batch_size=batch_size))


def matrix_product(backend: Backend) -> Callable[[], float]:
    """Multiply square matrices by PyTorch; returns the number of floating-point operations."""
    import torch

    kind = torch.bfloat16 if backend.precision == "bfloat16" else torch.float32
    first, second = (torch.randn(SIDE, SIDE).to(kind) for _ in range(2))

    def run() -> float:
        for _ in range(20):
            first @ second
        return 20 * 2 * SIDE**3

    return run


def resnet50_flops(folder: Path) -> int:
    """Count an image's floating-point operations: two for each product in a convolution."""
    keras = import_keras()
    network = keras.models.model_from_json((folder / LAYERS_FILE).read_text())
    convolutions = [found for found in network.layers if isinstance(found, keras.layers.Conv2D)]
    return sum(
        2 * int(np.prod(found.kernel.shape)) * int(np.prod(found.output.shape[1:3]))
        for found in convolutions
    )


def figures(way: str, rates: list[float]) -> str:
    """Return a way's median rate and its range."""
    scale, unit = (1e9, " GFLOP/s") if "product" in way else (1, "/s")
    low, middle, high = (
        found / scale for found in (min(rates), statistics.median(rates), max(rates))
    )
    return f"{middle:.1f}{unit} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
