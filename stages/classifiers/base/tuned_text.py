"""A text network while PyTorch trains it."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stages.classifiers.base.frozen_layers import FrozenLayers, Tokens
from stages.classifiers.base.saved_text import SavedText
from stages.common.openvino_conversion import openvino_model
from stages.common.text_network import TextNetwork, load_module, load_tokenizer
from stages.common.text_tokens import tokens_of


class TunedText:
    """A network of which the last `layers` are trained, or all if that is None, on a device.

    The vectors of words stay as they are: they are half of a small network, and training products
    have few of the words.
    """

    def __init__(self, network: TextNetwork, layers: int | None, device: str = "cpu") -> None:
        self._tokenizer = load_tokenizer(network)
        self._module = load_module(network, normalize=True)
        self.n_features: int = self._module.network.config.hidden_size
        stack = _layers_of(self._module)
        self._frozen: FrozenLayers | None = None
        if layers is not None and layers < len(stack):
            frozen = FrozenLayers(self._module, stack, layers, self.n_features)
            self._frozen = frozen if frozen.agrees(*self.tokens(["an example"])) else None
        self._device = device
        self._module.to(device)
        trained = [self._module] if layers is None else list(stack)[-layers:]
        self.parameters = _train_only(trained, self._module)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts."""
        found = self._tokenizer.encode_batch([text or "" for text in texts])
        return [one.ids if text else [] for one, text in zip(found, texts, strict=True)]

    def vectors(self, tokens: Tokens, is_training: bool) -> Any:
        """Return a tensor of shape (n, size): vectors of unit length, zeros where no text is."""
        import torch

        self._module.train(is_training)
        lengths = torch.tensor([len(ids) for ids in tokens])
        padded = torch.zeros((len(tokens), max(1, int(lengths.max()))), dtype=torch.int64)
        for row, ids in enumerate(tokens):
            padded[row, : len(ids)] = torch.tensor(ids, dtype=torch.int64)
        mask = (torch.arange(padded.shape[1]) < lengths.clamp(min=1)[:, None]).long()
        padded, mask, lengths = (one.to(self._device) for one in (padded, mask, lengths))
        if self._frozen is None:
            found = self._module(padded, mask)
        else:
            found = self._frozen.run(tokens, padded, mask, is_training)
        return found * (lengths > 0)[:, None]

    def saved(self) -> SavedText:
        """Return the network as it is saved and predicts."""
        example = tokens_of(self._tokenizer, "an example")
        model = openvino_model(self._module.eval().cpu(), example, is_fixed=False)
        # Their names count what was converted before in the process.
        model.set_friendly_name("network")
        for at, node in enumerate(model.get_ordered_ops()):
            node.set_friendly_name(f"{node.get_type_name()}_{at}")
        # What predicts is what is saved, so that both give the same bits.
        with TemporaryDirectory() as name:
            SavedText(model, self._tokenizer).save(Path(name))
            return SavedText.load(Path(name))


def _layers_of(module: Any) -> Any:
    """Return the layers of a network: the longest list of modules in it, if it has any."""
    import torch

    lists = [part for part in module.modules() if isinstance(part, torch.nn.ModuleList)]
    return max(lists, key=len, default=[])


def _train_only(parts: Sequence[Any], module: Any) -> list[Any]:
    """Let `parts` of a network be trained, but for its words; return their parameters."""
    module.requires_grad_(False)
    for part in parts:
        part.requires_grad_(True)
    module.network.get_input_embeddings().requires_grad_(False)
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
