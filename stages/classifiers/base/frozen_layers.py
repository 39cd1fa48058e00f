"""A network whose first layers are frozen: what they give for a text is computed once and kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Tokens = list[list[int]]  # of each text; empty where there is no text

MAX_KEPT = 2**30  # bytes; what does not fit is computed each time
TOLERANCE = 1e-4  # of numbers of a vector of unit length


class FrozenLayers:
    """The layers of a network that are not trained: all but the last `n_trained`.

    `layers` is the ModuleList of all, `size` that of what a layer gives for a token. What is not
    trained is never in training mode, so that a text gives the same each time.
    """

    def __init__(self, module: Any, layers: Any, n_trained: int, size: int) -> None:
        self._module, self._layers, self._size = module, layers, size
        self._frozen, self._trained = list(layers)[:-n_trained], list(layers)[-n_trained:]
        self._kept: dict[tuple[int, ...], Any] = {}
        self._room = MAX_KEPT

    def agrees(self, tokens: list[int]) -> bool:
        """Return whether a text's vector is the whole network's.

        It is not where a layer depends on more than the layer below gives.
        """
        import torch

        ids = torch.tensor([tokens])
        mask = torch.ones_like(ids)
        with torch.no_grad():
            found = self.run([tokens], ids, mask, False)
            return torch.allclose(found, self._module(ids, mask), atol=TOLERANCE)

    def run(self, tokens: Tokens, ids: Any, mask: Any, is_training: bool) -> Any:
        """Return the network's output for texts whose `tokens` are padded in `ids`."""
        self._module.eval()
        for layer in self._trained:
            layer.train(is_training)
        given = self._given(tokens, ids, mask)
        hook = self._trained[0].register_forward_pre_hook(
            lambda layer, args: (given, *args[1:]) if args else None
        )
        with self._only(self._trained):
            found = self._module(ids, mask)
        hook.remove()
        return found

    def _given(self, tokens: Tokens, ids: Any, mask: Any) -> Any:
        """Return what the frozen layers give, float32 of shape (n, length, size)."""
        import torch

        found = torch.zeros((*ids.shape, self._size), device=ids.device)
        new = [row for row, one in enumerate(tokens) if tuple(one) not in self._kept]
        if new:
            found[new] = self._compute(ids[new], mask[new])
        for row in set(range(len(tokens))).difference(new):
            found[row, : len(tokens[row])] = self._kept[tuple(tokens[row])]
        for row in new:
            kept, key = found[row, : len(tokens[row])].clone(), tuple(tokens[row])
            if kept.nbytes <= self._room and key not in self._kept:
                self._room -= kept.nbytes
                self._kept[key] = kept
        return found

    def _compute(self, ids: Any, mask: Any) -> Any:
        import torch

        given: list[Any] = []
        hook = self._frozen[-1].register_forward_hook(
            lambda layer, args, output: given.append(output)
        )
        with self._only(self._frozen), torch.no_grad():
            self._module(ids, mask)
        hook.remove()
        return given[0] if isinstance(given[0], torch.Tensor) else given[0][0]

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
