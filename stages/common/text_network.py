"""Text networks of Transformers: from tokens to one vector of each text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.common import huggingface
from stages.common.errors import InputError
from stages.common.openvino_conversion import TOLERANCE
from stages.common.text_tokens import cut_texts

SHORT = 3  # tokens of a text by which a network is tried


@dataclass(frozen=True)
class TextNetwork:
    """A network in a folder; `model` is its name in errors.

    `pooling` says what is made of its output: mean, cls or pooler. Texts are cut at `max_tokens`.
    """

    folder: Path
    model: str
    pooling: str
    max_tokens: int


def load_tokenizer(network: TextNetwork) -> Any:
    """Load a network's tokeniser and have it cut texts at its `max_tokens`.

    Raises InputError where the tokenizers package cannot run it, or `max_tokens` does not suit it.
    """
    from transformers import AutoTokenizer

    found = huggingface.from_folder(AutoTokenizer, network.folder)
    if not found.is_fast:
        raise InputError(f"{network.model} has no fast tokeniser: choose a model that has one")
    _check_length(network, found.model_max_length)
    tokenizer = found.backend_tokenizer
    name = f"the tokeniser of {network.model}"
    cut_texts(tokenizer, name, network.max_tokens, found.truncation_side)
    return tokenizer


def load_module(network: TextNetwork, normalize: bool) -> Any:
    """Return a network as a module that gives its pooled output, of unit length if `normalize`.

    It takes `input_ids` and `attention_mask`, int64 of shape (n, length). Raises InputError where
    it makes nothing of a short text: some want a second text, or take texts of one length alone.
    """
    import torch

    loaded = huggingface.load_network(network.folder, uses_pooler=network.pooling == "pooler")
    _check_length(network, _places(loaded))

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = loaded

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            out = self.network(input_ids=input_ids, attention_mask=attention_mask)
            if network.pooling == "mean":
                weights = attention_mask.unsqueeze(-1).to(out.last_hidden_state.dtype)
                pooled = (out.last_hidden_state * weights).sum(1) / weights.sum(1)
            elif network.pooling == "cls":
                pooled = out.last_hidden_state[:, 0]
            else:
                pooled = huggingface.pooled_output(out)
            return torch.nn.functional.normalize(pooled) if normalize else pooled

    module = Pooled()
    short = torch.ones((1, SHORT), dtype=torch.int64)
    try:
        with torch.no_grad():
            module(short, short)
    except InputError:
        raise
    except Exception as error:  # whatever a network stumbles over that wants more than a text
        raise huggingface.unfit(network.model, "a text", error) from None
    return module


def check_padding(
    network: TextNetwork, module: Any, alone: Sequence[Any], padded: Sequence[Any]
) -> None:
    """Raise InputError where a module makes another vector of a text once it is padded.

    It would depend on the texts beside it, and OpenVINO, which pads none, would make another one.
    `alone` and `padded` are what the module takes of the text.
    """
    import torch

    with torch.no_grad():
        wanted, found = (module(*map(torch.as_tensor, given))[0] for given in (alone, padded))
    if (found - wanted).abs().max() > TOLERANCE * wanted.abs().max():
        raise InputError(
            f"{network.model} makes another vector of a text that is padded to the length of "
            "others, which PyTorch needs for batches: choose another encoder"
        )


def _places(loaded: Any) -> int:
    """Return how many tokens of a text a network has places for; 0 or less is no limit."""
    places = getattr(loaded.config, "max_position_embeddings", None) or 0
    positions = getattr(getattr(loaded, "embeddings", None), "position_embeddings", None)
    padding = getattr(positions, "padding_idx", None)
    # RoBERTa, MPNet and their like count places from behind the one of the token that pads.
    return int(places if padding is None else places - padding - 1)


def _check_length(network: TextNetwork, limit: int) -> None:
    """Raise InputError if texts may be longer than `limit`: OpenVINO would make numbers up.

    XLNet, which takes texts of any length, has a limit of -1.
    """
    if 0 < limit < network.max_tokens:
        raise InputError(
            f"max_tokens is {network.max_tokens}, and {network.model} takes {limit} at most"
        )
