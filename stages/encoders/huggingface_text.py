"""Text networks of the Hugging Face hub, through Transformers: MiniLM, BERT and their like."""

from pathlib import Path
from typing import Any

import numpy as np

from stages.encoders import huggingface
from stages.encoders.weights import Manifest, unavailable
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
        import openvino as ov
        import torch
        from transformers import AutoModel, AutoTokenizer

        from stages.encoders.engine import Network

        huggingface.quiet()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._max_tokens = settings.max_tokens
        network = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)

        class Pooled(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = network.eval()

            def forward(self, input_ids: Any, attention_mask: Any) -> Any:
                out = self.network(input_ids=input_ids, attention_mask=attention_mask)
                if settings.pooling == "mean":
                    weights = attention_mask.unsqueeze(-1).to(out.last_hidden_state.dtype)
                    pooled = (out.last_hidden_state * weights).sum(1) / weights.sum(1)
                elif settings.pooling == "cls":
                    pooled = out.last_hidden_state[:, 0]
                else:
                    pooled = out.pooler_output
                return torch.nn.functional.normalize(pooled) if settings.normalize else pooled

        example = self._tokenizer(["an example"], return_tensors="pt")
        names = ("input_ids", "attention_mask")
        model = ov.convert_model(Pooled(), example_input={name: example[name] for name in names})
        self._network = Network(model)
        self.size = self._network.size

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return a float32 array of shape (len(texts), size); texts are cut at `max_tokens`."""
        tokens = self._tokenizer(texts, truncation=True, max_length=self._max_tokens)["input_ids"]
        # In order of length the network meets each shape once.
        order = sorted(range(len(texts)), key=lambda at: len(tokens[at]))
        ids = (np.asarray([tokens[at]], dtype=np.int64) for at in order)
        vectors = np.empty((len(texts), self.size), dtype=np.float32)
        rows = self._network.run((row, np.ones_like(row)) for row in ids)
        for at, vector in zip(order, rows, strict=True):
            vectors[at] = vector
        return vectors
