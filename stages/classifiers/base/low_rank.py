"""LoRA: of a linear layer, only a matrix of low rank learns that is added to its weights.

Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models.
"""

from typing import Any


def add_low_rank(part: Any, rank: int) -> list[Any]:
    """Add a matrix of `rank`, at first zero, to each linear layer in a part of a network.

    Return the layers that have one now. Its two factors are parameters, and the only ones that
    require a gradient where the part's own require none.
    """
    import torch
    from torch.nn.utils import parametrize

    class LowRank(torch.nn.Module):
        def __init__(self, weight: Any) -> None:
            super().__init__()
            n_outputs, n_inputs = weight.shape
            self.down = torch.nn.Parameter(weight.new_empty((rank, n_inputs)))
            self.up = torch.nn.Parameter(weight.new_zeros((n_outputs, rank)))
            torch.nn.init.kaiming_uniform_(self.down, a=5**0.5)  # as a linear layer starts

        def forward(self, weight: Any) -> Any:
            return weight + self.up @ self.down

    layers = [layer for layer in part.modules() if isinstance(layer, torch.nn.Linear)]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight))
    return layers


def merge_low_rank(module: Any) -> None:
    """Make what was added to a network's weights part of them; its outputs stay as they are."""
    from torch.nn.utils import parametrize

    for layer in list(module.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
