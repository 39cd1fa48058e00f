"""The layers of a network, of which the last ones are trained."""

from collections.abc import Iterable, Sequence
from typing import Any

from stages.common.errors import InputError


def layers_of(module: Any) -> Any:
    """Return the list of a network's layers, or of its stages where layers are in stages.

    It is the outermost one that holds most of the network. Empty where there is none.
    """
    import torch

    kinds = torch.nn.ModuleList | torch.nn.Sequential
    lists = [part for part in module.modules() if isinstance(part, kinds) and len(part) > 1]
    return max(lists, key=_count, default=[])


def choose_trained(module: Any, n_layers: int | None, model: str) -> list[Any]:
    """Return the parts of a network that are trained: its last `n_layers`, or all of it if None.

    Raises InputError, which names the `model`, where it has no list of layers.
    """
    layers = layers_of(module)
    if n_layers is not None and not len(layers):
        raise InputError(f"{model} has no list of layers: set `layers: all` of the classifier")
    return [module] if n_layers is None else list(layers)[-n_layers:]


def train_only(parts: Sequence[Any], module: Any, never: Iterable[Any] = ()) -> list[Any]:
    """Let `parts` of a network be trained, but those of `never`; return their parameters."""
    module.requires_grad_(False)
    for part in parts:
        part.requires_grad_(True)
    for part in never:
        part.requires_grad_(False)
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def set_training(module: Any, parts: Sequence[Any], is_training: bool) -> None:
    """Put `parts` of a network into training mode, if so, and all else into that of evaluation.

    Batch normalisation is never in it: a batch of a few products does not say what is usual.
    """
    import torch

    module.eval()
    for part in parts if is_training else ():
        for one in part.modules():
            one.training = not isinstance(one, torch.nn.modules.batchnorm._BatchNorm)


def _count(part: Any) -> int:
    return sum(parameter.numel() for parameter in part.parameters())
