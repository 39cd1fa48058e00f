"""A network of which PyTorch trains the last layers, or all."""

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import Any

from stages.classifiers.base.frozen_layers import Arguments, FrozenLayers
from stages.classifiers.base.low_rank import add_low_rank, merge_low_rank
from stages.common.errors import InputError


class PartlyTrained:
    """A module of which the last `n_layers` are trained, or all if that is None, on a device.

    Where layers are in stages, they are the last stages. With a `rank`, matrices of that rank are
    trained, which are added to the linear layers in them. Parts that are `never` trained stay as
    they are, and parameters that are not to learn by the module's own word. `of_layers` has the
    parameters of each layer, where the module has no list of them. `args`, `shown` and `lengths`
    are those of one input, as in FrozenLayers: they say whether what the frozen layers give can be
    computed once. Raises InputError, which names the `model`, where the module has no list of
    layers, or no linear layer for a rank.
    """

    def __init__(
        self,
        module: Any,
        n_layers: int | None,
        model: str,
        device: str,
        args: tuple[Any, ...],
        shown: tuple[Any, ...],
        rank: int | None = None,
        never: Iterable[Any] = (),
        of_layers: Sequence[Sequence[Any]] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> None:
        learning = {id(one) for one in module.parameters() if one.requires_grad}
        if of_layers is not None and n_layers is not None:
            learning, n_layers = set(map(id, chain(*of_layers[-n_layers:]))), None
        names = {name for name, one in module.named_parameters() if id(one) in learning}
        layers = layers_of(module)
        if n_layers is not None and not len(layers):
            raise InputError(f"{model} has no list of layers: set `layers: all` of the classifier")
        trained = [module] if n_layers is None else list(layers)[-n_layers:]
        self._module = module
        self._frozen: FrozenLayers | None = None
        if n_layers is not None and n_layers < len(layers):
            frozen = FrozenLayers(module, layers, n_layers)
            self._frozen = frozen if frozen.agrees(args, shown, lengths) else None
        self._in_training = [module] if self._frozen is None else trained
        module.to(device)
        module.requires_grad_(False)
        if rank is None:
            within = {id(one) for part in trained for one in part.parameters()}
            for name, one in module.named_parameters():
                one.requires_grad_(name in names and id(one) in within)
        elif not [layer for part in trained for layer in add_low_rank(part, rank)]:
            raise InputError(f"{model} has no linear layer that learns: leave out `lora`")
        for part in never:
            part.requires_grad_(False)
        self.parameters = [one for one in module.parameters() if one.requires_grad]

    @property
    def kept(self) -> dict[Hashable, Any]:
        """What the frozen layers gave for each input, where that is computed once."""
        return {} if self._frozen is None else self._frozen.kept

    def restore(self, kept: dict[Hashable, Any]) -> None:
        """Take what `kept` was in another process."""
        if self._frozen is not None:
            self._frozen.restore(kept)

    def merged(self) -> Any:
        """Return the module on the processor, in no training mode; it can be trained no more."""
        merge_low_rank(self._module)
        return self._module.eval().cpu()

    def run(
        self,
        keys: Sequence[Hashable],
        arguments: Arguments,
        shown: tuple[Any, ...],
        is_training: bool,
        lengths: Sequence[int] | None = None,
    ) -> Any:
        """Return the module's output for the inputs that `keys` stand for; see FrozenLayers.

        Batch normalisation is never in training mode: a batch of a few products does not say what
        is usual.
        """
        import torch

        self._module.eval()
        for part in self._in_training if is_training else ():
            for one in part.modules():
                one.training = not isinstance(one, torch.nn.modules.batchnorm._BatchNorm)
        if self._frozen is None:
            return self._module(*arguments(list(range(len(keys)))))
        return self._frozen.run(keys, arguments, shown, lengths)


def layers_of(module: Any) -> Any:
    """Return the list of a network's layers, or of its stages where layers are in stages.

    It is the outermost one that holds most of the network. Empty where there is none.
    """
    import torch

    kinds = torch.nn.ModuleList | torch.nn.Sequential
    lists = [part for part in module.modules() if isinstance(part, kinds) and len(part) > 1]
    return max(lists, key=_count, default=[])


def _count(part: Any) -> int:
    return sum(parameter.numel() for parameter in part.parameters())
