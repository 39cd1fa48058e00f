"""A tuned text network as it is saved and predicts: in OpenVINO, with its tokeniser."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.classifiers.base.saved_network import SavedNetwork
from stages.common.text_tokens import TOKENIZER_FILE, tokens_of


class SavedText(SavedNetwork):
    """From texts to vectors of unit length."""

    modality = "text"

    def prepare(self, one: str) -> Sequence[np.ndarray]:
        """Return a text's tokens and which of them count, int64 of shape (1, tokens)."""
        return tokens_of(self._preparation, one)

    def save_preparation(self, folder: Path) -> None:
        """Write the tokeniser into `folder`."""
        self._preparation.save(str(folder / TOKENIZER_FILE))

    @staticmethod
    def load_preparation(folder: Path) -> Any:
        """Return the tokeniser that was written."""
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(folder / TOKENIZER_FILE))
