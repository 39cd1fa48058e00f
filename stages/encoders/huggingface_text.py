"""Text networks of the Hugging Face hub, through Transformers: MiniLM, BERT and their like."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer

from stages.common.errors import InputError
from stages.common.settings import Positive, Sha256
from stages.encoders import huggingface
from stages.encoders.backends.selection import Backend
from stages.encoders.fingerprint import network_key
from stages.encoders.settings import TextEncoderSettings
from stages.encoders.weights.manifest import Manifest, unavailable

TOKENIZER_FILE = "tokenizer.json"


class Settings(TextEncoderSettings):
    """A text network that Transformers' AutoModel loads."""

    framework = "torch"

    kind: Literal["huggingface_text"]
    model: str
    revision: str = "main"
    pooling: Literal["mean", "cls", "pooler"] = "mean"
    normalize: bool = True
    max_tokens: Positive = 256
    path: Path | None = Field(default=None, strict=False)
    package: str | None = None
    sha256: Sha256 | None = None


def fetch(settings: Settings, folder: Path, policy: str, seed: int) -> Manifest:
    """Put weights, configuration and tokeniser into `folder`.

    There is no random stand-in, whatever `policy` says: a tokeniser cannot be drawn. Raises
    InputError where the weights are not to be had.
    """
    try:
        return huggingface.fetch(settings, folder)
    except huggingface.Unreachable as error:
        mend = "choose an encoder that a package ships, such as minilm"
        raise unavailable(settings.model, str(error), mend) from None


def load(settings: Settings, folder: Path, engine: Backend) -> "HuggingFaceTexts":
    """Make an encoder of what `fetch` put into `folder`."""
    if engine.name == "torch":
        from stages.encoders.backends.torch import TorchNetwork

        tokenizer, module = _tokenizer(settings, folder), _pooled(settings, folder)
        return HuggingFaceTexts(
            TorchNetwork(module, _tokens(tokenizer, "example"), engine), tokenizer
        )
    from stages.encoders.backends.openvino import OpenVinoNetwork, converted, ov

    def convert(kept: Path) -> ov.Model:
        from stages.encoders.backends.torch import openvino_model

        tokenizer, module = _tokenizer(settings, folder), _pooled(settings, folder)
        tokenizer.save(str(kept / TOKENIZER_FILE))
        return openvino_model(module, _tokens(tokenizer, "an example"), is_fixed=False)

    model, kept = converted(network_key(settings, folder), convert)
    tokenizer = Tokenizer.from_file(str(kept / TOKENIZER_FILE))
    return HuggingFaceTexts(OpenVinoNetwork(model, engine), tokenizer)


class HuggingFaceTexts:
    """A network that turns texts into vectors, pooled over their tokens."""

    def __init__(self, network: Any, tokenizer: Tokenizer) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self.size: int = network.size

    def encode(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each text, in their order.

        Texts are cut at the tokeniser's most tokens. It is quickest with texts of one length side
        by side.
        """
        return self._network.run(_tokens(self._tokenizer, text) for text in texts)


def _tokens(tokenizer: Tokenizer, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a text's tokens and which of them count, int64 of shape (1, tokens)."""
    ids = np.asarray([tokenizer.encode(text).ids], dtype=np.int64)
    return ids, np.ones_like(ids)


def _tokenizer(settings: Settings, folder: Path) -> Tokenizer:
    """Load the tokeniser in `folder`, which is to cut texts at the encoder's `max_tokens`.

    Raises InputError where the tokeniser is none that the tokenizers package runs.
    """
    from transformers import AutoTokenizer

    huggingface.quiet()
    found = huggingface.from_folder(AutoTokenizer, folder)
    if not found.is_fast:
        raise InputError(f"{settings.model} has no fast tokeniser: choose a model that has one")
    _check_length(settings, found.model_max_length)
    tokenizer = found.backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(settings.max_tokens, direction=found.truncation_side)
    return tokenizer


def _check_length(settings: Settings, most: int) -> None:
    """Raise InputError if texts may be longer than `most`: OpenVINO would make numbers up."""
    if settings.max_tokens > most:
        raise InputError(
            f"max_tokens is {settings.max_tokens}, and {settings.model} takes {most} at most"
        )


def _pooled(settings: Settings, folder: Path) -> Any:
    """Return the network in `folder` as a module that gives the encoder's pooling of its output."""
    import torch

    network = huggingface.network(folder, uses_pooler=settings.pooling == "pooler")
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
                pooled = huggingface.pooled(out)
            return torch.nn.functional.normalize(pooled) if settings.normalize else pooled

    return Pooled()
