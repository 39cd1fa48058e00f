"""A network whose first layers are frozen: what they give for an input is kept."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

MAX_KEPT = 2**30  # bytes; what does not fit is computed each time
TOLERANCE = 1e-4  # of numbers of a vector of unit length

# Gives what the network takes, tensors whose first axis is the batch, of those rows of a batch.
Arguments = Callable[[Sequence[int]], tuple[Any, ...]]


class _Reached(Exception):
    """The last frozen layer has given something; what comes after it need not run."""


def _stop(layer: Any, args: Any, output: Any) -> None:
    raise _Reached(output)


class FrozenLayers:
    """The layers of a network that are not trained: all but the last `n_trained`.

    `layers` is the list of all, a module in which PyTorch keeps them. The frozen ones are never in
    training mode, so that an input gives the same each time.
    """

    def __init__(self, module: Any, layers: Any, n_trained: int) -> None:
        self._module, self._layers = module, layers
        self._frozen, self._trained = list(layers)[:-n_trained], list(layers)[-n_trained:]
        self.restore({})

    def agrees(
        self,
        args: tuple[Any, ...],
        shown: tuple[Any, ...],
        lengths: Sequence[int] | None = None,
    ) -> bool:
        """Return whether the vector of an input, a batch of one, is the whole network's.

        It is not where a layer depends on more than the layer below gives, or where the network
        cannot be run without some of its layers. `args` are what the network takes of the input,
        `shown` and `lengths` as in `run`.
        """
        import torch

        with torch.no_grad():
            wanted = self._module(*args)
            try:
                found = self.run([None], lambda rows: args, shown, lengths)
            except Exception:  # whatever a network stumbles over that expects all of its layers
                return False
            self.restore({})
            return found.shape == wanted.shape and torch.allclose(found, wanted, atol=TOLERANCE)

    def restore(self, kept: dict[Hashable, Any]) -> None:
        """Take what `kept` of these layers was, as if they had given it."""
        self.kept = kept
        self._room = MAX_KEPT - sum(given.nbytes for given in kept.values())

    def run(
        self,
        keys: Sequence[Hashable],
        arguments: Arguments,
        shown: tuple[Any, ...],
        lengths: Sequence[int] | None = None,
    ) -> Any:
        """Return the network's output for the inputs that `keys` stand for.

        `arguments` gives what it takes of those that the frozen layers have not seen; `shown` is as
        if of all, and what is in front of the layers may depend on its shapes alone. If what a
        layer gives has a row for each token, `lengths` are the numbers of those that count.
        """
        given = self._given(keys, arguments, lengths)
        hook = self._trained[0].register_forward_pre_hook(
            lambda layer, args: (given, *args[1:]) if args else None
        )
        try:
            with self._only(self._trained):
                return self._module(*shown)
        finally:
            hook.remove()

    def _given(
        self, keys: Sequence[Hashable], arguments: Arguments, lengths: Sequence[int] | None
    ) -> Any:
        """Return what the frozen layers give, float32 of shape (n, ...)."""
        import torch

        found: dict[int, Any] = dict.fromkeys(range(len(keys)))
        new = [row for row, key in enumerate(keys) if key not in self.kept]
        for row, given in zip(new, self._compute(arguments(new)) if new else (), strict=True):
            found[row] = given if lengths is None else given[: lengths[row]]
        for row in set(found).difference(new):
            found[row] = self.kept[keys[row]]
        for row in new:
            if found[row].nbytes <= self._room and keys[row] not in self.kept:
                self._room -= found[row].nbytes
                self.kept[keys[row]] = found[row].clone()
        return torch.nn.utils.rnn.pad_sequence(list(found.values()), batch_first=True)

    def _compute(self, args: tuple[Any, ...]) -> Any:
        import torch

        hook = self._frozen[-1].register_forward_hook(_stop)
        try:
            with torch.no_grad():
                self._module(*args)
            raise RuntimeError("the network does not call its last frozen layer")
        except _Reached as reached:
            found = reached.args[0]
        finally:
            hook.remove()
        return found if isinstance(found, torch.Tensor) else found[0]

    @contextmanager
    def _only(self, layers: Sequence[Any]) -> Iterator[None]:
        """Let the network run through some of its layers alone."""
        whole = list(self._layers)
        del self._layers[:]
        self._layers.extend(layers)
        try:
            yield
        finally:
            del self._layers[:]
            self._layers.extend(whole)
