"""What a Ray cluster adds: how it scales, and what it costs beside this process alone.

Run as `python -m benchmarks.cluster`. The machines of a cluster are played by `ray.cluster_utils`.
`scaling` embeds texts with an encoder whose cost is waiting, so that one machine can play several.
`overhead` embeds with the real encoders, here and on a cluster of this machine alone. Workers have
loaded the encoder before the clock starts.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import inputs
from benchmarks.measure import Rates, in_turn, machine, positive, ratio, table
from stages.common.images import open_jpeg
from stages.common.kv_store import SqliteCache
from stages.compute.loader import Loader
from stages.compute.ray import RayWorkers
from stages.embed_text import part_of
from stages.encoders.backends.base import Backend, collected
from stages.encoders.base import Encoder, stream
from stages.encoders.distributed import BATCH, DistributedEncoder
from stages.encoders.embedding_cache import CachedEncoder
from stages.encoders.product_texts import CHUNK_ROWS
from stages.encoders.table_encoder import embeddings_table, key_of, load_encoder
from stages.encoders.weights.obtain import obtain_weights
from stages.params import load_params

SIZES = (1, 2, 4, 8)  # machines
TEXT_S = 0.004  # of waiting
BATCHES = 20  # for each machine
ENCODERS = ("convnextv2", "minilm")


def main() -> None:
    """Time both and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["scaling", "overhead"])
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--inputs", type=positive, default=2 * BATCH)
    asked = parser.parse_args()
    print(machine())
    if asked.what == "scaling":
        scaling()
    else:
        overhead(asked.rounds, asked.inputs)


class Waiting:
    """Waits for each text; its vectors are zeros."""

    n_features = 384

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        """Return float32 (n, 384)."""
        time.sleep(TEXT_S * len(batch))
        return np.zeros((len(batch), self.n_features), dtype=np.float32)


def scaling() -> None:
    """Print how many texts a second clusters of several sizes embed, as the stage does."""
    print(f"{BATCHES} batches of {BATCH} texts for each machine of one core, {TEXT_S} s a text\n")
    rates = {}
    for size in SIZES:
        with (
            tempfile.TemporaryDirectory() as name,
            cluster(size, n_cores=1),
            SqliteCache(Path(name) / "rows.sqlite", 10**9) as store,
        ):
            encoder = DistributedEncoder(
                Loader(Waiting, "waiting", lambda: "waiting"), RayWorkers()
            )
            encoder.encode(["a text"] * BATCH * size * 2)  # every machine loads it
            texts = [f"a product of {i} words" for i in range(BATCHES * BATCH * size)]
            skus = pa.chunked_array([texts])
            starts = range(0, len(texts), CHUNK_ROWS)
            chunks = ((skus[i : i + CHUNK_ROWS], texts[i : i + CHUNK_ROWS]) for i in starts)
            start = time.perf_counter()
            cached = CachedEncoder(encoder, "waiting", store, str, write_s=0.0)
            for found in cached.encode(starmap(part_of, chunks), lambda count: None):
                embeddings_table(*found)
            rates[size] = len(texts) / (time.perf_counter() - start)
    rows = [
        (f"{size} machines", f"{rate:.0f}/s, {rate / rates[1]:.2f}") for size, rate in rates.items()
    ]
    print(table(rows))


def overhead(rounds: int, n_inputs: int) -> None:
    """Print what encoders do a second on a cluster of this machine, beside this process."""
    params = load_params()
    images, what = inputs.images(n_inputs)
    texts, texts_what = inputs.texts(n_inputs, params)
    jpegs = images["jpeg"].to_pylist()
    print(f"{len(jpegs)} of {what}, {len(texts)} of {texts_what}; {rounds} rounds, medians\n")
    with tempfile.TemporaryDirectory() as name, cluster(1, os.cpu_count() or 1):
        rates: Rates = {}
        for encoder in ENCODERS:  # one after another: a worker keeps one loaded
            settings, folder = params.encoders[encoder], Path(name) / encoder
            obtain_weights(encoder, settings, folder, "auto", params.seed)
            backend = Backend("openvino", "float32")
            load = partial(load_encoder, settings, folder, backend)
            key_here = partial(key_of, settings, folder, backend)
            distributed = DistributedEncoder(Loader(load, key_here(), key_here), RayWorkers())
            is_image = settings.modality == "image"
            given = jpegs if is_image else sorted(texts, key=len)
            prepare = open_jpeg if is_image else str
            ways = {
                f"{encoder}: here": partial(embed, load(), given, prepare),
                f"{encoder}: cluster": partial(embed, distributed, given, prepare),
            }
            rates |= in_turn(ways, rounds)
    rows = [(name, f"{statistics.median(found):.1f}/s") for name, found in rates.items()]
    for encoder in ENCODERS:
        found = ratio(rates, f"{encoder}: here", f"{encoder}: cluster") - 1
        rows.append((f"{encoder}: time that the cluster adds", f"{found:.1%}"))
    print(table(rows))


def embed(encoder: Encoder, given: Sequence[Any], prepare: Callable[[Any], Any]) -> float:
    """Embed all that is given, as a stage does; return how many."""
    return len(collected(stream(encoder, given, prepare), encoder.n_features))


@contextmanager
def cluster(size: int, n_cores: int) -> Iterator[None]:
    """Start a cluster of so many machines and name it in RAY_ADDRESS."""
    import ray
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {"num_cpus": n_cores, "object_store_memory": 200 * 2**20}
    found = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    for _ in range(size - 1):
        found.add_node(**node)
    os.environ["RAY_ADDRESS"] = found.address
    try:
        yield
    finally:
        ray.shutdown()
        found.shutdown()
        del os.environ["RAY_ADDRESS"]


if __name__ == "__main__":
    main()
