"""Text networks of the Hugging Face hub, through Transformers: MiniLM, BERT and their like."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stages.encoders import huggingface
from stages.encoders.weights import Manifest, unavailable
from stages.errors import InputError
from stages.params import HuggingFaceTextEncoder


def fetch(settings: HuggingFaceTextEncoder, folder: Path, policy: str, seed: int) -> Manifest:
    """Put weights, configuration and tokeniser into `folder`.

    There is no random stand-in, whatever `policy` says: a tokeniser cannot be drawn. Raises
    InputError where the weights are not to be had.
    """
    try:
        return huggingface.fetch(settings, folder)
    except huggingface.Unreachable as error:
        mend = "choose an encoder that a package ships, such as minilm"
        raise unavailable(settings.model, str(error), mend) from None


def load(settings: HuggingFaceTextEncoder, folder: Path) -> "HuggingFaceTexts":
    """Make an encoder of what `fetch` put into `folder`."""
    return HuggingFaceTexts(settings, folder)


class HuggingFaceTexts:
    """A network that turns texts into vectors, pooled over their tokens."""

    def __init__(self, settings: HuggingFaceTextEncoder, folder: Path) -> None:
        import torch
        from transformers import AutoTokenizer

        from stages.encoders.engine import Network, ov

        network = huggingface.network(folder, uses_pooler=settings.pooling == "pooler")
        self._tokenizer = huggingface.from_folder(AutoTokenizer, folder)
        self._max_tokens = settings.max_tokens
        most = self._tokenizer.model_max_length
        most = min(most, getattr(network.config, "max_position_embeddings", most))
        if settings.max_tokens > most:  # beyond them OpenVINO would make numbers up
            raise InputError(
                f"max_tokens is {settings.max_tokens}, and {settings.model} takes {most} at most"
            )

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

        pooled = Pooled()
        tokens = self._tokenizer(["an example"], return_tensors="pt")
        example = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        pooled(**example)  # what is wrong with the network is said here, in plainer words
        self._network = Network(ov.convert_model(pooled, example_input=example))
        self.size = self._network.size

    def encode(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each text, in their order.

        Texts are cut at `max_tokens`.
        """
        return self._network.run(self._tokens(text) for text in texts)

    def _tokens(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        found = self._tokenizer(text, truncation=True, max_length=self._max_tokens)["input_ids"]
        ids = np.asarray([found], dtype=np.int64)
        return ids, np.ones_like(ids)
