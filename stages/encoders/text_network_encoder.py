"""An encoder that is a network of tokens and the tokeniser in front of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from stages.common.text_tokens import TOKENIZER_FILE, tokens_of
from stages.encoders.backends.base import Backend, Network, Row
from stages.encoders.backends.openvino import OpenVinoNetwork
from stages.encoders.network_encoder import NetworkEncoder

MIN_LENGTH = 16  # tokens to which a short text is padded on a GPU


@dataclass(frozen=True)
class Padding:
    """Pads texts with a token to 16, 32, 64 tokens and so on, `max_tokens` at most."""

    token: int
    max_tokens: int

    def pad(self, row: Row) -> Row:
        """Return a text's tokens and which of them count, padded, int64 of shape (1, length)."""
        count = row[0].shape[1]
        length = min(max(MIN_LENGTH, 1 << (count - 1).bit_length()), self.max_tokens)
        ids = np.full((1, length), self.token, dtype=np.int64)
        mask = np.zeros_like(ids)
        ids[:, :count], mask[:, :count] = row
        return ids, mask


class TextNetworkEncoder(NetworkEncoder):
    """A network that turns texts into vectors, pooled over their tokens.

    The tokeniser cuts texts. Texts of like length side by side are fastest.
    """

    max_feeders = 1  # the tokeniser lets one thread work at a time

    def __init__(self, network: Network, tokenizer: Any, padding: Padding | None = None) -> None:
        super().__init__(network)
        self._tokenizer = tokenizer
        self._padding = padding

    @classmethod
    def of_openvino(cls, model: Any, place: Path, backend: Backend) -> Self:
        """Make an encoder of OpenVINO's network and the folder that keeps it and its tokeniser.

        Neither PyTorch nor Transformers is loaded.
        """
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(place / TOKENIZER_FILE))
        return cls(OpenVinoNetwork(model, backend), tokenizer)

    def prepare(self, one: str) -> Row:
        """Return a text's tokens and which of them count, int64 of shape (1, tokens)."""
        row = tokens_of(self._tokenizer, one)
        return row if self._padding is None else self._padding.pad(row)
