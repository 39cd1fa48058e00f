"""A text network while PyTorch trains it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from stages.classifiers.base.partly_trained import PartlyTrained
from stages.classifiers.base.saved_text import SavedText
from stages.common.errors import InputError
from stages.common.openvino_conversion import openvino_model
from stages.common.text_network import TextNetwork, check_padding, load_module, load_tokenizer
from stages.common.text_tokens import EXAMPLES, tokens_of

Tokens = Sequence[list[int]]  # of each text; empty where there is no text


@cache
def check_tunable(network: TextNetwork) -> None:
    """Raise InputError where a network could not be saved once it is tuned, or sees its padding.

    Tried once in a process, and before hours are spent on it. PyTorch draws afterwards what it
    would have drawn.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        tokenizer, module = load_tokenizer(network), load_module(network, normalize=True)
        short, long = (tokens_of(tokenizer, text) for text in EXAMPLES)
        try:
            openvino_model(module, short, long)
        except InputError:
            raise InputError(
                f"OpenVINO, which runs tuned networks, does not run {network.model} as PyTorch "
                "does: tune another encoder"
            ) from None
        room = [(0, 0), (0, long[0].shape[1] - short[0].shape[1])]
        check_padding(network, module, short, [np.pad(one, room) for one in short])


class TunedText:
    """A network of which the last `layers` are trained, or all if that is None, on a device.

    With `lora`, matrices of that rank are trained in their place. The vectors of words stay as they
    are: they are half of a small network, and training products have few of the words.
    """

    what = "texts"

    def __init__(
        self,
        network: TextNetwork,
        layers: int | None,
        device: str = "cpu",
        lora: int | None = None,
    ) -> None:
        self._tokenizer = load_tokenizer(network)
        self._module = load_module(network, normalize=True)
        self.n_features: int = self._module.network.config.hidden_size
        self._device = device
        example = self._padded(self.prepare(["an example"]), "cpu")
        words = [self._module.network.get_input_embeddings()]
        self.trained = PartlyTrained(
            self._module,
            layers,
            network.model,
            device,
            example,
            example,
            lora,
            words,
            lengths=[example[0].shape[1]],
        )

    def prepare(self, inputs: Sequence[str | None]) -> Tokens:
        """Return the tokens of texts."""
        found = self._tokenizer.encode_batch([text or "" for text in inputs])
        return [one.ids if text else [] for one, text in zip(found, inputs, strict=True)]

    def lengths(self, prepared: Tokens) -> np.ndarray:
        """Return the lengths by which texts are sorted into batches, of shape (n,)."""
        return np.array([len(ids) for ids in prepared])

    def vectors(self, prepared: Tokens, is_training: bool) -> Any:
        """Return a tensor of shape (n, size): vectors of unit length, zeros where no text is."""
        import torch

        padded, mask = self._padded(prepared, self._device)
        found = self.trained.run(
            [tuple(ids) for ids in prepared],
            lambda rows: (padded[rows], mask[rows]),
            (padded, mask),
            is_training,
            [max(1, len(ids)) for ids in prepared],
        )
        there = torch.tensor([bool(ids) for ids in prepared], device=self._device)
        return found * there[:, None]

    def saved(self) -> SavedText:
        """Return the network as it is saved and predicts."""
        examples = (tokens_of(self._tokenizer, text) for text in EXAMPLES)
        model = openvino_model(self.trained.merged(), *examples)
        return SavedText(model, self._tokenizer).reloaded()

    @staticmethod
    def _padded(tokens: Tokens, device: str) -> tuple[Any, Any]:
        """Return tokens in one tensor, and which of them count, int64 of shape (n, length)."""
        import torch

        lengths = torch.tensor([max(1, len(ids)) for ids in tokens])
        padded = torch.zeros((len(tokens), int(lengths.max())), dtype=torch.int64)
        for row, ids in enumerate(tokens):
            padded[row, : len(ids)] = torch.tensor(ids, dtype=torch.int64)
        mask = (torch.arange(padded.shape[1]) < lengths[:, None]).long()
        return padded.to(device), mask.to(device)
