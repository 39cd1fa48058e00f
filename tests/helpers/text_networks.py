"""Small text networks with random weights: in the files that Transformers reads, and in ONNX."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from helpers.onnx_files import FLOAT, INT64, model, node

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
SIZE = 32  # of the vectors of a network in ONNX


def word_tokenizer(words: Sequence[str]) -> Any:
    """Return a tokeniser that knows `words` and puts a mark at each end of a text."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    known = {word: at for at, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    ends = [(name, known[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer


def write_text_network(folder: Path, words: Sequence[str], layers: int = 2) -> None:
    """Write a BERT of vectors of 32 numbers that knows `words`."""
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer(words),
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_max_length=32,
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(words),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)


def onnx_weights(n_tokens: int) -> dict[str, np.ndarray]:
    """Return the weights of a network in ONNX."""
    rng = np.random.default_rng(11)
    shapes = {"words": (n_tokens, SIZE), "types": (2, SIZE), "out": (SIZE, SIZE)}
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def write_onnx_text_network(
    path: Path,
    n_tokens: int,
    element: int = INT64,
    has_types: bool = True,
    shape: tuple[int | str, int | str] = ("batch", "tokens"),
    outputs: Sequence[str] = ("states", "sentence"),
) -> Path:
    """Write a network of one layer of attention that knows `n_tokens` tokens.

    `states` are its vectors of tokens, `sentence` is the last one of a text.
    """
    constants = onnx_weights(n_tokens) | {
        "one": np.float32([1]),
        "far": np.float32([-1e4]),
        "axis": np.int64([1]),
        "last": np.int64(-1),
    }
    embedded = [node("Gather", ["words", "input_ids"], "word", axis=0)]
    if has_types:
        embedded += [
            node("Gather", ["types", "token_type_ids"], "type", axis=0),
            node("Add", ["word", "type"], "x"),
        ]
    nodes = [
        *embedded,
        node("Cast", ["attention_mask"], "mask", to=FLOAT),
        node("Sub", ["one", "mask"], "hidden"),
        node("Mul", ["hidden", "far"], "bias"),
        node("Unsqueeze", ["bias", "axis"], "row"),
        node("Transpose", ["x" if has_types else "word"], "turned", perm=(0, 2, 1)),
        node("MatMul", ["x" if has_types else "word", "turned"], "raw"),
        node("Add", ["raw", "row"], "scores"),
        node("Softmax", ["scores"], "attention", axis=2),
        node("MatMul", ["attention", "x" if has_types else "word"], "seen"),
        node("MatMul", ["seen", "out"], "mixed"),
        node("Tanh", ["mixed"], "states"),
        node("Gather", ["states", "last"], "sentence", axis=1),
    ]
    names = ["attention_mask", "input_ids", *(["token_type_ids"] if has_types else [])]
    return model(path, nodes, [(name, element, shape) for name in names], constants, outputs)


def states_by_torch(ids: Sequence[int], n_tokens: int, has_types: bool = True) -> Any:
    """Return what PyTorch makes of a text's tokens with the same weights: (tokens, SIZE)."""
    import torch

    weights = {name: torch.tensor(value) for name, value in onnx_weights(n_tokens).items()}
    x = weights["words"][list(ids)] + (weights["types"][0] if has_types else 0)
    seen = torch.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None], scale=1.0)
    return torch.tanh(seen[0] @ weights["out"])
