"""From a text to the tokens that a network takes, by a tokeniser of the package tokenizers."""

from typing import Any

import numpy as np

from stages.common.errors import InputError

TOKENIZER_FILE = "tokenizer.json"
# Texts by which a network is converted: the second, long enough for most, checks what was made.
EXAMPLES = ("an example", "an example of a text that is longer " * 150)


def cut_texts(tokenizer: Any, name: str, max_tokens: int, direction: str) -> None:
    """Have a tokeniser, `name` in errors, cut texts at `max_tokens` and not pad them.

    Raises InputError where its own tokens leave no room for a text's: it would not cut at all.
    """
    own = tokenizer.num_special_tokens_to_add(False)
    if max_tokens <= own:
        raise InputError(
            f"max_tokens is {max_tokens}, and {name} adds {own} tokens to each text: set "
            f"max_tokens to {own + 1} at least"
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, direction=direction)


def tokens_of(tokenizer: Any, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a text's tokens and which of them count, int64 of shape (1, tokens).

    A text without any has the token 0, as a network makes nothing of no tokens.
    """
    ids = np.asarray([tokenizer.encode(text).ids or [0]], dtype=np.int64)
    return ids, np.ones_like(ids)
