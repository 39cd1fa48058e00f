"""How well the embedding stages feed a GPU, beside what its users write themselves.

Run as `python -m benchmarks.gpu` on a machine with a GPU; `--device cpu` tries the code without
one. Each side decodes or tokenises. The stages compute in the precision of `precision: auto`; so
does the loop over a DataLoader; SentenceTransformer.encode computes in its own float32.
"""

import argparse
import io
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from torch.utils.data import DataLoader
from transformers import AutoImageProcessor, AutoModel

from benchmarks import inputs
from benchmarks.encoders import bare, figures, sentence_transformer, stage
from benchmarks.measure import in_turn, machine, positive, ratio, table
from stages.common.images import open_jpeg
from stages.common.keras_weights import import_keras
from stages.encoders import huggingface_image, huggingface_text, keras
from stages.encoders.backends.base import CORES, Backend
from stages.encoders.backends.batching import GPU_IMAGES, GPU_TOKENS
from stages.encoders.backends.selection import select_backend
from stages.encoders.weights.obtain import obtain_weights
from stages.params import load_params

STAGE, BARE = "stage", "bare network"


def main() -> None:
    """Time every way in turn and print their medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--images", type=positive, default=8192)
    parser.add_argument("--texts", type=positive, default=16384)
    parser.add_argument("--batch", type=positive, default=GPU_IMAGES)
    asked = parser.parse_args()
    params = load_params()
    image, text = params.encoders["convnextv2"], params.encoders["minilm"]
    resnet50 = params.encoders["resnet50"]
    assert isinstance(text, huggingface_text.Settings)
    assert isinstance(resnet50, keras.Settings)
    backend = select_backend(image, "auto" if asked.device == "gpu" else "torch", "auto")
    if asked.device == "gpu" and backend.device == "cpu":
        raise SystemExit("error: PyTorch finds no GPU here; --device cpu tries the code without")
    shard, what = inputs.images(asked.images)
    texts, texts_what = inputs.texts(asked.texts, params)
    jpegs = shard["jpeg"].to_pylist()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        import_keras("torch")
        for encoder in ("convnextv2", "minilm", "resnet50"):
            settings = params.encoders[encoder]
            obtain_weights(encoder, settings, folder / encoder, "auto", params.seed)
        images = huggingface_image.torch_encoder(folder / "convnextv2", backend, asked.batch)
        by_keras = keras.torch_encoder(resnet50, folder / "resnet50", backend, asked.batch)
        words = huggingface_text.torch_encoder(text, folder / "minilm", backend, GPU_TOKENS)
        package = text.weights_request()["package"]
        loader, sentences = "images: DataLoader", "texts: SentenceTransformer.encode"
        ways = {
            f"images: {STAGE}": stage(images, folder, shard),
            f"images: {BARE}": bare(images, list(map(open_jpeg, jpegs))),
            f"images: ResNet50's {STAGE}": stage(by_keras, folder, shard),
            f"images: ResNet50's {BARE}": bare(by_keras, list(map(open_jpeg, jpegs))),
            loader: data_loader(folder / "convnextv2", jpegs, backend, asked.batch),
            f"texts: {STAGE}": stage(words, folder, texts),
            f"texts: {BARE}": bare(words, texts),
            sentences: sentence_transformer(package, texts, backend.device, 256),
        }
        rates = in_turn(ways, asked.rounds)
    print(
        f"{device_name(backend)}; {machine()}\n{backend.precision}, batches of {asked.batch} images"
    )
    print(f"{len(jpegs)} of {what}, {len(texts)} of {texts_what}")
    print(f"medians of {asked.rounds} rounds in turn, least to most in brackets\n")
    print(table([(way, figures(way, found)) for way, found in rates.items()]))
    pairs = [
        (f"images: {STAGE}", f"images: {BARE}"),
        (f"images: ResNet50's {STAGE}", f"images: ResNet50's {BARE}"),
        (f"images: {STAGE}", loader),
        (f"texts: {STAGE}", f"texts: {BARE}"),
        (f"texts: {STAGE}", sentences),
    ]
    print("\n" + table([(f"{a} / {b}", f"{ratio(rates, a, b):.2f}") for a, b in pairs]))


def device_name(backend: Backend) -> str:
    """Return the name of the GPU, or that of what stands for it."""
    return torch.cuda.get_device_name() if backend.device == "cuda" else backend.device


def decoded(processor: Any, jpeg: bytes) -> torch.Tensor:
    """Return what the network takes of an image, as a worker of a DataLoader makes it."""
    opened = PIL.Image.open(io.BytesIO(jpeg)).convert("RGB")
    return processor(opened, return_tensors="pt")["pixel_values"][0]


class Decoded(torch.utils.data.Dataset[torch.Tensor]):
    """Images as a DataLoader takes them."""

    def __init__(self, jpegs: Sequence[bytes], decode: Callable[[bytes], torch.Tensor]) -> None:
        self._jpegs = jpegs
        self._decode = decode

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._jpegs)

    def __getitem__(self, i: int) -> torch.Tensor:
        """Decode an image."""
        return self._decode(self._jpegs[i])


def data_loader(
    folder: Path, jpegs: Sequence[bytes], backend: Backend, size: int
) -> Callable[[], float]:
    """Embed as PyTorch's users do: worker processes prepare batches for the network."""
    processor = AutoImageProcessor.from_pretrained(folder)
    network = AutoModel.from_pretrained(folder).eval().to(backend.device)
    is_bfloat16, is_cuda = backend.precision == "bfloat16", backend.device == "cuda"
    given = Decoded(jpegs, partial(decoded, processor))
    workers = max(1, CORES - 2)

    def run() -> float:
        batches = DataLoader(given, size, num_workers=workers, pin_memory=is_cuda)
        with (
            torch.inference_mode(),
            torch.autocast(backend.device, torch.bfloat16, enabled=is_bfloat16),
        ):
            for batch in batches:
                on_device = batch.to(backend.device, non_blocking=True)
                network(on_device).pooler_output.float().cpu()
        return len(jpegs)

    return run


if __name__ == "__main__":
    main()
