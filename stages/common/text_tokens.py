"""From a text to the tokens that a network takes, by a tokeniser of the package tokenizers."""

from typing import Any

import numpy as np

TOKENIZER_FILE = "tokenizer.json"
# Texts by which a network is converted: the second, long enough for most, checks what was made.
EXAMPLES = ("an example", "an example of a text that is longer " * 150)


def tokens_of(tokenizer: Any, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a text's tokens and which of them count, int64 of shape (1, tokens).

    A text without any has the token 0, as a network makes nothing of no tokens.
    """
    ids = np.asarray([tokenizer.encode(text).ids or [0]], dtype=np.int64)
    return ids, np.ones_like(ids)
