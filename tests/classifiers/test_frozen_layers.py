"""What frozen layers give is computed once, and changes no vector."""

from pathlib import Path
from typing import Any

import pytest
from helpers.text_networks import write_text_network

from stages.classifiers.base import frozen_layers
from stages.classifiers.base.tuned_text import TunedText
from stages.common.text_network import TextNetwork

WORDS = ["round", "square", "with", "strap"]
TEXTS = ["round", "", "square with strap", "round square with strap round"]
SIZES = {
    "vocab_size": 16,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
}


def write(folder: Path, config: Any) -> TextNetwork:
    """Write a network with random weights."""
    import torch
    from transformers import AutoModel

    write_text_network(folder, WORDS)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    return TextNetwork(folder, "a network", "mean", 16)


@pytest.fixture
def network(tmp_path) -> TextNetwork:
    from transformers import BertConfig

    return write(tmp_path, BertConfig(**SIZES))


def assert_same_vectors(text: TunedText, network: TextNetwork) -> None:
    import torch

    whole = TunedText(network, None)
    for texts in (TEXTS[:2], TEXTS, TEXTS[::-1]):  # new ones, some of both, known ones
        found = text.vectors(text.prepare(texts), False)
        torch.testing.assert_close(found, whole.vectors(whole.prepare(texts), False))


def count_frozen(text: TunedText) -> list[int]:
    """Have the rows that the first layer sees be counted."""
    seen: list[int] = []
    layer = text._module.network.encoder.layer[0]
    layer.register_forward_hook(lambda layer, args, output: seen.append(len(args[0])))
    return seen


def test_each_text_passes_the_frozen_layers_once(network):
    text = TunedText(network, 1)
    seen = count_frozen(text)
    assert_same_vectors(text, network)
    assert sum(seen) == len(TEXTS)


def test_what_does_not_fit_into_memory_is_computed_again(network, monkeypatch):
    monkeypatch.setattr(frozen_layers, "MAX_KEPT", 1000)
    text = TunedText(network, 1)
    seen = count_frozen(text)
    assert_same_vectors(text, network)
    assert sum(seen) > len(TEXTS)


def test_only_layers_that_are_trained_have_dropout(network):
    text = TunedText(network, 1)
    tokens = text.prepare(TEXTS)
    kept = text.vectors(tokens, True)
    assert not text.vectors(tokens, True).equal(kept)
    dropping = {part for part in text._module.modules() if part.training}
    assert dropping == set(text._module.network.encoder.layer[-1].modules())


def test_a_network_whose_layers_depend_on_more_than_the_layer_below_is_run_as_a_whole(tmp_path):
    from transformers import DebertaV2Config

    # A convolution follows the first layer, whichever that is.
    network = write(tmp_path, DebertaV2Config(**SIZES, conv_kernel_size=3, conv_act="gelu"))
    assert_same_vectors(TunedText(network, 1), network)


@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [
        ("squeezebert", SIZES | {"embedding_size": 32, "num_attention_heads": 4}),
        ("xlnet", {"vocab_size": 16, "d_model": 32, "n_layer": 3, "n_head": 2, "d_inner": 64}),
        ("xlm", {"vocab_size": 16, "emb_dim": 32, "n_layers": 3, "n_heads": 2}),
        ("longformer", SIZES | {"attention_window": 8}),
    ],
    ids=["not called as modules", "tokens before texts", "layers by number", "whole windows"],
)
def test_a_network_that_does_not_run_without_some_of_its_layers_is_run_as_a_whole(
    tmp_path, architecture, sizes
):
    from transformers import AutoConfig

    network = write(tmp_path, AutoConfig.for_model(architecture, **sizes))
    text = TunedText(network, 1)
    assert_same_vectors(text, network)
    learning = text.trained.parameters
    assert 0 < len(learning) < len(TunedText(network, None).trained.parameters)
    text.vectors(text.prepare(TEXTS), True).sum().backward()
    assert any(one.grad is not None and one.grad.any() for one in learning)


@pytest.mark.parametrize("has_shortcut", [True, False])
def test_a_network_that_looks_at_its_input_once_more_is_run_as_a_whole(has_shortcut):
    import torch

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)])

        def forward(self, pixels):
            found = pixels
            for layer in self.layers:
                found = layer(found)
            return found + pixels if has_shortcut else found

    network, pixels = Network(), torch.ones((1, 3))
    frozen = frozen_layers.FrozenLayers(network, network.layers, 1)
    assert frozen.agrees((pixels,), (torch.zeros_like(pixels),)) == (not has_shortcut)
