"""What a kind of encoder is: a module of this package, named as the kind.

The module has:

- `class Settings(ImageEncoderSettings)` or `(TextEncoderSettings)`: its entry in params.yaml;
- `fetch(settings, folder) -> Manifest`: put the weights into `folder`; raise Unreachable where the
  network does not answer and the weights are not on disk;
- `load(settings, folder, backend) -> Encoder`: load what `fetch` put into `folder`;
- where weights can be random, `draw(settings, folder, seed) -> Manifest | None`: put random weights
  into `folder`; return None where the settings do not say for which network;
- and, where OpenVINO can run it, `convert(settings, folder) -> (network, folder)`: its network, and
  the folder that keeps all that `load` needs of it. Its encoder is a `NetworkEncoder`, and can then
  be exported and quantised.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import islice
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np

from stages.common.tables import Matrix

BATCH = 32  # inputs that an encoder gets at once if it cannot stream


class Encoder(Protocol):
    """Turns images or texts into vectors."""

    n_features: int

    def encode(self, batch: Sequence[Any]) -> Matrix:
        """Return float32 (n, n_features): a vector for each RGB image or text, in their order.

        An image is uint8 of shape (height, width, 3). A vector depends on its own input alone, not
        on the others of the batch.
        """


@runtime_checkable
class StreamingEncoder(Encoder, Protocol):
    """An encoder that takes inputs one by one, and thus never waits for the next batch of them."""

    def stream(self, inputs: Iterable[Any], opened: Callable[[Any], Any]) -> Iterator[np.ndarray]:
        """Yield float32 (k, n_features): vectors of the inputs, in their order, as they are done.

        `opened` makes an RGB image or a text of an input.
        """


@runtime_checkable
class RemoteEncoder(Encoder, Protocol):
    """An encoder on another machine, which may be asked several times where it does not answer."""

    def hurry(self) -> None:
        """Ask once from now on: somebody waits for the answer."""


def stream(
    encoder: Encoder, inputs: Iterable[Any], opened: Callable[[Any], Any]
) -> Generator[Matrix, None, None]:
    """Yield vectors of the inputs, in their order, as they are done; see `StreamingEncoder`.

    Raises ValueError where an encoder that does not stream returns another number of them.
    """
    if isinstance(encoder, StreamingEncoder):
        yield from encoder.stream(inputs, opened)
        return
    rest = iter(inputs)
    while batch := list(islice(rest, BATCH)):
        vectors = encoder.encode(list(map(opened, batch)))
        if vectors.shape[0] != len(batch):  # the next inputs would get each other's
            raise ValueError(
                f"the encoder returned {vectors.shape[0]} vectors for {len(batch)} inputs"
            )
        yield vectors


def module_of(kind: str) -> ModuleType:
    """Return the module of a kind of encoder."""
    return import_module(f"stages.encoders.{kind}")
