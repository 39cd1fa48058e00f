"""What a kind of encoder is: a module of this package, named as the kind.

The module has:

- `class Settings(ImageEncoderSettings)` or `(TextEncoderSettings)`: its entry in params.yaml;
- `fetch(settings, folder) -> Manifest`: put the weights into `folder`; raise Unreachable where the
  network does not answer and the weights are not on disk;
- `load(settings, folder, backend) -> Encoder`: load what `fetch` put into `folder`;
- and, where weights can be random, `draw(settings, folder, seed) -> Manifest | None`: put random
  weights into `folder`; return None where the settings do not say for which network.
"""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from stages.common.tables import Matrix


class Encoder(Protocol):
    """Turns images or texts into vectors."""

    n_features: int

    def encode(self, batch: Sequence[Any]) -> Matrix:
        """Return float32 (n, n_features): a vector for each RGB image or text, in their order.

        A vector depends on its own input alone, not on the others of the batch.
        """


def module_of(kind: str) -> ModuleType:
    """Return the module of a kind of encoder."""
    return import_module(f"stages.encoders.{kind}")
