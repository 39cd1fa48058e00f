"""The text tower of CLIP or SigLIP: vectors of unit length, in one space with those of images.

All texts are padded or cut to the number of tokens that the model was trained with.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.common.clip_network import (
    check_model,
    count_tokens,
    load_text_tower,
    load_tokenizer,
)
from stages.common.openvino_conversion import openvino_model
from stages.common.settings import Sha256
from stages.common.text_tokens import TOKENIZER_FILE, tokens_of
from stages.encoders.backends.base import Backend, Row
from stages.encoders.backends.batching import GPU_TOKENS
from stages.encoders.backends.openvino import network_of
from stages.encoders.backends.torch import TorchNetwork
from stages.encoders.fingerprint import network_key
from stages.encoders.settings import TextEncoderSettings
from stages.encoders.text_network_encoder import TextNetworkEncoder
from stages.encoders.weights import huggingface as weights
from stages.encoders.weights.manifest import Manifest


class Settings(TextEncoderSettings):
    """The text tower of a CLIP or SigLIP of the hub."""

    frameworks = ("torch",)

    kind: Literal["clip_text"]
    model: str
    revision: str = "main"
    path: Path | None = Field(default=None, strict=False)
    package: str | None = None
    sha256: Sha256 | None = None

    def most_tokens(self, folder: Path) -> int:
        """Return how many tokens of a text are read."""
        return count_tokens(folder)


def fetch(settings: Settings, folder: Path) -> Manifest:
    """Put the weights of both towers, configuration and tokeniser into `folder`.

    There is no `draw`: a tokeniser cannot be drawn at random. Raises InputError where the model is
    another, or comes without a tokeniser.
    """
    manifest = weights.fetch(settings, folder, "choose another text encoder")
    check_model(folder, settings.model, TOKENIZER_FILE)
    return manifest


def load(settings: Settings, folder: Path, backend: Backend) -> "ClipTextEncoder":
    """Make an encoder of what `fetch` put into `folder`."""
    if backend.name == "torch":
        tokens = 1 if backend.device == "cpu" else GPU_TOKENS
        return torch_encoder(folder, backend, tokens)
    model, place = convert(settings, folder)
    return ClipTextEncoder.of_openvino(model, place, backend)


def torch_encoder(folder: Path, backend: Backend, tokens: int) -> "ClipTextEncoder":
    """Make an encoder that PyTorch runs, `tokens` in a batch where memory holds so many."""
    tokenizer, module = load_tokenizer(folder), load_text_tower(folder)
    example = tokens_of(tokenizer, "an example")[:1]
    running = TorchNetwork(module, example, backend, lambda row: tokens // row[0].shape[1])
    return ClipTextEncoder(running, tokenizer)


def convert(settings: Settings, folder: Path) -> tuple[Any, Path]:
    """Return OpenVINO's network of the tower in `folder`, and the folder that keeps it.

    That folder has the tokeniser as well.
    """

    def build(place: Path) -> Any:
        tokenizer, module = load_tokenizer(folder), load_text_tower(folder)
        tokenizer.save(str(place / TOKENIZER_FILE))
        return openvino_model(module, tokens_of(tokenizer, "an example")[:1])

    return network_of(folder, lambda: network_key(settings, folder), build)


class ClipTextEncoder(TextNetworkEncoder):
    """A text tower and its tokeniser, which pads: the tower takes no mask."""

    def prepare(self, one: str) -> Row:
        """Return a text's tokens, int64 of shape (1, length)."""
        return super().prepare(one)[:1]
