"""A tuned network that remembers: an input that it has seen before, in any run, is not computed.

Members of a model share a network, each encodes its training products and those that it predicts,
and a run with other settings of fusion does so again.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.classifiers.base.saved_network import SavedNetwork
from stages.common.errors import InputError
from stages.common.kv_store import SqliteCache

VECTORS_FILE = "vectors.sqlite"
WRITE_BATCH = 64  # vectors that are written together: what a killed run loses


class CachedNetwork:
    """A network whose vectors are kept in a file beside it."""

    def __init__(self, network: SavedNetwork, folder: Path) -> None:
        """Take a network, and the folder that it was loaded from."""
        self._network = network
        self._folder = folder

    def save(self, folder: Path) -> None:
        """Write the network and what prepares its inputs into `folder`."""
        self._network.save(folder)

    def encode(self, inputs: Sequence[Any]) -> np.ndarray:
        """Return the inputs' vectors, float32 of shape (n, n_features); zeros where none is."""
        try:
            return self._look_up(inputs)
        except InputError:  # another process has removed the folder, or the disk is full
            return self._network.encode(inputs)

    def _look_up(self, inputs: Sequence[Any]) -> np.ndarray:
        """Return the inputs' vectors, and keep those that are new."""
        found = np.zeros((len(inputs), self._network.n_features), dtype=np.float32)
        rows: dict[str, list[int]] = {}
        for row, one in enumerate(inputs):
            if one:
                rows.setdefault(_key(one), []).append(row)
        with SqliteCache(self._folder / VECTORS_FILE) as store:
            for key, value in store.get_many(rows).items():
                found[rows.pop(key)] = np.frombuffer(value, dtype="<f4")
            new = list(rows.items())
            for start in range(0, len(new), WRITE_BATCH):
                batch = new[start : start + WRITE_BATCH]
                vectors = self._network.encode([inputs[own[0]] for _, own in batch])
                for (_, own), vector in zip(batch, vectors, strict=True):
                    found[own] = vector
                store.put_many(
                    (key, vector.astype("<f4").tobytes())
                    for (key, _), vector in zip(batch, vectors, strict=True)
                )
        return found


def _key(one: str | bytes) -> str:
    return hashlib.sha256(one.encode() if isinstance(one, str) else one).hexdigest()
