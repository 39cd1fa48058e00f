"""An encoder whose cost is waiting, and a process that embeds texts with it on a cluster.

Run as `python -m helpers.waiting_encoder FOLDER N_TEXTS`; RAY_ADDRESS names the cluster.
"""

import hashlib
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.common.files import write_json
from stages.common.kv_store import SqliteCache
from stages.compute.loader import Loader
from stages.compute.ray import RayWorkers
from stages.encoders.distributed import DistributedEncoder
from stages.encoders.embedding_cache import CachedEncoder, Part

KEY = "waiting"


class Waiting:
    """Waits for each text, and writes into a folder how many texts it was asked for."""

    SECONDS = 0.0025  # for a text
    n_features = 8

    def __init__(self, folder: Path, seconds: float = SECONDS) -> None:
        self._folder = folder
        self._seconds = seconds

    def encode(self, batch: Sequence[str]) -> np.ndarray:
        """Return float32 (n, 8): a vector for each text."""
        (self._folder / "called" / f"{len(batch)} {time.monotonic_ns()}").touch()
        time.sleep(self._seconds * len(batch))
        return self.vectors(batch)

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (n, 8): the vectors, without waiting."""
        digests = b"".join(hashlib.sha256(text.encode()).digest()[:8] for text in texts)
        return np.frombuffer(digests, np.uint8).reshape(-1, 8).astype(np.float32)


def main() -> None:
    """Embed the texts, with a cache in the folder, and say what was done."""
    folder, n_texts = Path(sys.argv[1]), int(sys.argv[2])
    (folder / "called").mkdir(exist_ok=True)
    texts = [f"product {i}" for i in range(n_texts)]
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    loader = Loader(partial(Waiting, folder), KEY, _key)
    with SqliteCache(folder / "cache.sqlite") as cache:
        distributed = DistributedEncoder(loader, RayWorkers())
        encoder = CachedEncoder(distributed, KEY, cache, str, write_s=0.0)
        part = Part(pa.chunked_array([hashes]), texts, hashes)
        [(_, vectors)] = encoder.encode([part], lambda _: None)
    np.save(folder / "vectors.npy", vectors)
    done = {"computed": encoder.computed, "cache_hits": encoder.cache_hits}
    write_json(folder / "done.json", done)


def _key() -> str:
    return KEY


if __name__ == "__main__":
    main()
