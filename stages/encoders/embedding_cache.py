"""Vectors of rows: those of earlier runs from a store, the others computed and put there."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from stages.common import paths
from stages.common.cache import cache_folder
from stages.common.kv_store import SqliteCache
from stages.common.tables import embeddings_schema, to_arrow, write_batches
from stages.encoders.augmentation import Views
from stages.encoders.backends.bfloat16_check import passes_bfloat16_check
from stages.encoders.backends.selection import Backend, select_backend
from stages.encoders.base import ImageEncoder, TextEncoder, module_of
from stages.encoders.fingerprint import network_key, row_key
from stages.encoders.settings import CacheSettings, EncoderSettings
from stages.encoders.weights.manifest import read_manifest

STORE_FILE = "embeddings.sqlite"
TOGETHER = 32  # rows that are put into the store at once: what a killed run loses


def write_embeddings(
    name: str,
    settings: EncoderSettings,
    engine_name: str,
    precision: str,
    cache: CacheSettings,
    output: Path,
    total: int,
    unit: str,
    tables: Callable[["Embedder", tqdm], Iterator[pa.Table]],
) -> None:
    """Write the table of an encoder to `output` and say how much of it was computed.

    `tables` gives its parts, which hold `total` products that have a picture or a text: `unit` says
    which. Raises InputError where the encoder's weights are missing or cannot be run.
    """
    folder = paths.weights(name)
    engine = select_backend(settings.kind, engine_name, precision)
    facts = {"encoder": name, "weights": asdict(read_manifest(folder))}
    load = partial(_loaded, settings, folder)
    network = network_key(settings, folder)
    store_file, max_bytes = cache_folder() / STORE_FILE, int(cache.max_gb * 1e9)
    with SqliteCache(store_file, max_bytes) as store:
        if precision == "auto" and engine.precision == "bfloat16":
            is_text = settings.modality == "text"
            if not _bears_bfloat16(load, engine, is_text, row_key(network, engine), store):
                engine = replace(engine, precision="float32")
        facts |= {"engine": engine.name, "precision": engine.precision}
        embedder = Embedder(load(engine), row_key(network, engine), store)
        with tqdm(total=total, desc=name, unit=unit) as bar:
            write_batches(output, embeddings_schema(embedder.size), tables(embedder, bar), facts)
    seen = embedder.computed + embedder.kept
    print(
        f"{name}: {embedder.computed:,} of {seen:,}{unit} computed by {engine.name} in "
        f"{engine.precision}, {embedder.kept:,} from {store_file.parent}"
    )


def _loaded(settings: EncoderSettings, folder: Path, engine: Backend) -> ImageEncoder | TextEncoder:
    encoder = module_of(settings.kind).load(settings, folder, engine)
    views = getattr(settings, "tta", ["identity"])
    return encoder if views == ["identity"] else Views(encoder, views)


def _bears_bfloat16(
    load: Callable[[Backend], ImageEncoder | TextEncoder],
    engine: Backend,
    is_text: bool,
    key: str,
    store: SqliteCache,
) -> bool:
    """Say whether an encoder's vectors stay what they are in bfloat16; the answer is kept."""
    key = f"{key} bears bfloat16"
    answer = store.get_many([key]).get(key)
    if answer is None:
        answer = b"yes" if passes_bfloat16_check(load, engine, is_text) else b"no"
        store.put_many([(key, answer)])
    return answer == b"yes"


class Embedder:
    """An encoder that remembers: an input that was seen before, in this run or another, is not run.

    `computed` and `kept` count the inputs that were computed and those found in the store.
    """

    def __init__(self, encoder: ImageEncoder | TextEncoder, key: str, store: SqliteCache) -> None:
        """Take an encoder and where its vectors are kept; `key` is all that they depend on."""
        self.size = encoder.size
        self.computed = self.kept = 0
        self._encoder = encoder
        self._key = key
        self._store = store

    def table(
        self,
        skus: pa.ChunkedArray,
        hashes: Sequence[str | None],
        input_at: Callable[[int], Any],
        bar: tqdm,
        length_at: Callable[[int], int] = lambda at: 0,
    ) -> pa.Table:
        """Embed products' inputs into a table of `embeddings_schema`, null where there is none.

        `hashes` are the inputs' SHA-256, None where there is none. `input_at` gives the input of a
        row, and `length_at` its length: those of like length are computed side by side. `bar`
        counts the products with an input.
        """
        places: dict[str, list[int]] = {}
        for at, sha256 in enumerate(hashes):
            if sha256 is not None:
                places.setdefault(sha256, []).append(at)
        rows = np.zeros((len(hashes), self.size), dtype=np.float32)
        known = self._known(places)
        for sha256, vector in known.items():
            rows[places[sha256]] = vector
            bar.update(len(places[sha256]))
        new = [sha256 for sha256 in places if sha256 not in known]
        new.sort(key=lambda sha256: length_at(places[sha256][0]))
        vectors = self._encoder.encode(input_at(places[sha256][0]) for sha256 in new)
        computed = zip(new, vectors, strict=True)
        while some := list(itertools.islice(computed, TOGETHER)):
            self._store.put_many((self._row(sha256), vector.tobytes()) for sha256, vector in some)
            for sha256, vector in some:
                rows[places[sha256]] = vector
                bar.update(len(places[sha256]))
        self.kept += len(known)
        self.computed += len(new)
        present = np.array([sha256 is not None for sha256 in hashes], dtype=bool)
        columns = [skus, pa.array(hashes, pa.string()), to_arrow(rows, present)]
        return pa.table(columns, schema=embeddings_schema(self.size))

    def _known(self, hashes: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the vectors that are in the store."""
        keys = {self._row(sha256): sha256 for sha256 in hashes}
        return {
            keys[key]: np.frombuffer(value, dtype=np.float32)
            for key, value in self._store.get_many(keys).items()
        }

    def _row(self, sha256: str) -> str:
        """Return the key under which the store has an input's vector."""
        return hashlib.sha256(f"{self._key} {sha256}".encode()).hexdigest()
