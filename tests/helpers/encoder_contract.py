"""What every kind of encoder keeps to, and a small encoder of each kind to try it with.

A new kind needs an entry in MAKERS, and nothing else.
"""

import io
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
from helpers.clip_models import write_clip, write_siglip
from helpers.embeddings_api import embeddings_api
from helpers.onnx_files import convolutional
from helpers.text_networks import (
    SPECIAL,
    word_tokenizer,
    write_onnx_text_network,
    write_text_network,
)
from scipy.sparse import csr_array

import stages.encoders
from stages.common.images import Pixels, open_jpeg
from stages.common.openvino import import_openvino
from stages.encoders import onnx as onnx_kind
from stages.encoders import table_encoder
from stages.encoders.backends.base import Backend
from stages.encoders.backends.openvino import MODEL_FILE
from stages.encoders.backends.selection import select_backend
from stages.encoders.base import Encoder, module_of, stream
from stages.encoders.embedding_cache import Part
from stages.encoders.settings import CacheSettings, EncoderSettings
from stages.encoders.table_encoder import load_encoder, open_encoder
from stages.encoders.weights.manifest import Manifest, write_manifest
from stages.encoders.weights.obtain import obtain_weights

WORDS = ["red", "lamp", "kettle", "of", "steel"]
# One text is empty, one has no word, one is longer than a network takes.
TEXTS = ["red lamp", "a steel kettle", "", "-", "lamp " * 300, "Lampe für 電池", "red", "of red"]


def images() -> list[Pixels]:
    """Return images of several sizes, as many as there are texts."""
    rng = np.random.default_rng(7)
    sizes = [(32, 32), (32, 32), (1, 1), (300, 20), (64, 48), (32, 32), (90, 90)]
    noise = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    return [*noise, np.full((32, 32, 3), 255, dtype=np.uint8)]


def clip_image(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Write a small model with its image processor."""
    write_clip(folder / "network")
    return {"model": "tiny", "path": folder / "network"}


def clip_text(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Write a small model with its tokeniser."""
    write_siglip(folder / "network")
    return {"model": "tiny", "path": folder / "network"}


def hashed_ngrams(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Return an encoder of few features."""
    return {"n_features": 256}


def huggingface_image(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Write a small network with its image processor."""
    import torch
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = ViTConfig(**sizes, intermediate_size=64, image_size=32, initializer_range=0.3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ViTModel(config).save_pretrained(folder / "network")
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder / "network")
    return {"model": "tiny", "path": folder / "network"}


def huggingface_text(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Write a small network with its tokeniser."""
    write_text_network(folder / "network", WORDS)
    return {"model": "tiny", "path": folder / "network", "max_tokens": 16}


def keras(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Write a network as an exported model has it: TensorFlow takes too long to load."""
    weights = folder / "weights"
    weights.mkdir()
    path = convolutional(folder / "model.onnx")
    network, _ = onnx_kind.convert(onnx_kind.Settings(kind="onnx", path=path), folder)
    import_openvino().save_model(network, weights / MODEL_FILE)
    return {"model": "ResNet50", "input_size": 32}


def onnx(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Write a small network."""
    return {"path": convolutional(folder / "model.onnx")}


def onnx_text(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Write a small network and a tokeniser that makes no token of an empty text."""
    tokenizer = word_tokenizer(WORDS)
    tokenizer.post_processor = None
    tokenizer.save(str(folder / "tokenizer.json"))
    path = write_onnx_text_network(folder / "model.onnx", len(SPECIAL) + len(WORDS))
    return {"path": path, "tokenizer": folder / "tokenizer.json", "max_tokens": 16}


def openai(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Start a server that plays the API."""
    api = stack.enter_context(embeddings_api())
    return {"model": "tiny", "dimensions": 5, "base_url": api.url, "batch_size": 3}


MAKERS = {
    make.__name__: make
    for make in (
        *(clip_image, clip_text, hashed_ngrams, huggingface_image, huggingface_text),
        *(keras, onnx, onnx_text, openai),
    )
}


def kinds() -> list[str]:
    """Return the kinds of encoders that there are."""
    modules = [module_of(found.name) for found in pkgutil.iter_modules(stages.encoders.__path__)]
    return [
        module.__name__.rpartition(".")[2]
        for module in modules
        if getattr(getattr(module, "Settings", None), "__module__", "") == module.__name__
    ]


@dataclass(frozen=True)
class Case:
    """An encoder of a kind, and the weights and backend that it was loaded with."""

    settings: EncoderSettings
    weights: Path
    backend: Backend
    encoder: Encoder
    inputs: Sequence[Any]

    def encode(self, inputs: Sequence[Any]) -> np.ndarray:
        """Return the vectors of inputs as a dense array."""
        return dense(self.encoder.encode(inputs))


def dense(rows: Any) -> np.ndarray:
    """Return vectors as a dense array."""
    return rows.toarray() if isinstance(rows, csr_array) else rows


@contextmanager
def case_of(kind: str, precision: str, folder: Path) -> Iterator[Case]:
    """Give an encoder of a kind as the stages load it, of the weights that its maker names."""
    with ExitStack() as stack:
        entry = MAKERS[kind](folder, stack)
        yield load_case({"kind": kind, **entry}, precision, folder / "weights")


def load_case(entry: dict[str, Any], precision: str, weights: Path) -> Case:
    """Load an encoder of an entry of params.yaml, its weights fetched unless they are there."""
    settings = module_of(entry["kind"]).Settings.model_validate(entry)
    if weights.is_dir():
        write_manifest(weights, Manifest("random", "a test", None, ""), {})
    else:
        obtain_weights("tiny", settings, weights, "auto", 42)
    backend = select_backend(settings, "auto", precision)
    encoder = load_encoder(settings, weights, backend)
    return Case(
        settings, weights, backend, encoder, images() if settings.modality == "image" else TEXTS
    )


def has_float32_vectors_of_one_size(case: Case) -> None:
    """Each input has a vector, also an empty text."""
    rows = case.encoder.encode(case.inputs)
    assert isinstance(rows, csr_array if case.settings.is_sparse else np.ndarray)
    assert rows.dtype == np.float32
    assert rows.shape == (len(case.inputs), case.encoder.n_features)
    assert np.isfinite(dense(rows)).all()
    assert not np.array_equal(dense(rows)[0], dense(rows)[1])


def has_no_vectors_of_no_inputs(case: Case) -> None:
    """An empty batch has the shape of the others."""
    rows = case.encoder.encode([])
    assert rows.dtype == np.float32
    assert rows.shape == (0, case.encoder.n_features)


def gives_the_same_bits_again(case: Case) -> None:
    """So does the same encoder when it is loaded anew."""
    rows = case.encode(case.inputs)
    np.testing.assert_array_equal(case.encode(case.inputs), rows)
    again = load_encoder(case.settings, case.weights, case.backend)
    np.testing.assert_array_equal(dense(again.encode(case.inputs)), rows)


def gives_bits_that_depend_on_one_input_alone(case: Case) -> None:
    """Neither others beside it nor their order or number change an input's vector."""
    rows = case.encode(case.inputs)
    np.testing.assert_array_equal(case.encode(case.inputs[::-1]), rows[::-1])
    np.testing.assert_array_equal(case.encode([*case.inputs] * 5), np.tile(rows, (5, 1)))
    for one, row in zip(case.inputs, rows, strict=True):
        np.testing.assert_array_equal(case.encode([one])[0], row)


def streams_what_it_encodes(case: Case) -> None:
    """The stages take vectors as they are done."""
    rows = case.encode(case.inputs)
    parts = [dense(part) for part in stream(case.encoder, iter(case.inputs), lambda one: one)]
    np.testing.assert_array_equal(np.concatenate(parts), rows)


def leaves_out_rows_without_input(case: Case) -> None:
    """In a table, a product without an image or a text has zeros, and changes no other."""
    is_image = case.settings.modality == "image"
    there = [one for one in case.inputs if len(one)]
    given = list(map(jpeg_of, there)) if is_image else there
    opened = open_jpeg if is_image else str
    wanted = case.encode(list(map(opened, given)))
    inputs = [one for present in given for one in (present, b"" if is_image else "")]
    hashes = [f"{row:064}" if one else None for row, one in enumerate(inputs)]
    how = "auto", case.backend.precision, CacheSettings(max_gb=1.0), opened
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_encoder, "cache_folder", lambda: case.weights.parent)
        with open_encoder(case.settings, case.weights, *how) as (encoder, _):
            part = Part(pa.chunked_array([hashes]), inputs, hashes)
            [(_, found)] = encoder.encode([part], lambda count: None)
            rows = dense(found)
    np.testing.assert_array_equal(rows[::2], wanted)
    assert not rows[1::2].any()


def jpeg_of(image: Pixels) -> bytes:
    """Return an image as the stages store it."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG")
    return file.getvalue()


CHECKS: list[Callable[[Case], None]] = [
    *(has_float32_vectors_of_one_size, has_no_vectors_of_no_inputs, gives_the_same_bits_again),
    *(gives_bits_that_depend_on_one_input_alone, streams_what_it_encodes),
    leaves_out_rows_without_input,
]
