"""Encoders as the stages use them: opened with their cache, and the tables of their vectors."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from scipy.sparse import csr_array

from stages.common.cache import cache_folder
from stages.common.kv_store import SqliteCache
from stages.common.tables import Matrix, embeddings_schema, to_arrow
from stages.compute.base import Workers
from stages.compute.loader import Loader
from stages.encoders.augmentation import AugmentedEncoder
from stages.encoders.backends.base import Backend
from stages.encoders.backends.bfloat16_check import passes_bfloat16_check
from stages.encoders.backends.selection import select_backend
from stages.encoders.base import Encoder, module_of
from stages.encoders.distributed import DistributedEncoder
from stages.encoders.embedding_cache import WRITE_S, CachedEncoder, Encoded, Part, Progress
from stages.encoders.fingerprint import ROOM, code_key, network_key, vector_key
from stages.encoders.settings import CacheSettings, EncoderSettings
from stages.encoders.weights.manifest import Manifest

CACHE_FILE = "embeddings.sqlite"
PAID_FILE = "paid_embeddings.sqlite"  # from which nothing is dropped to make room


class TableEncoder(Protocol):
    """Encodes a table's inputs, and counts them.

    `computed` and `cache_hits` count the different inputs of each part: those that were computed,
    and those that were found.
    """

    n_features: int
    computed: int
    cache_hits: int

    def encode(self, parts: Iterable[Part], progress: Progress) -> Encoded:
        """Yield each part with its vectors, float32 (n, n_features), zeros where one is missing.

        Some parts are taken ahead of what was yielded, so that what computes never waits for a part
        to end. `progress` is called with how many more inputs are done. Close the iterator.
        """

    def check_cost(self, inputs: Sequence[Any], hashes: Sequence[str | None]) -> None:
        """Raise InputError where computing all inputs of a run would cost too much money."""


class UncachedEncoder:
    """An encoder of texts whose vectors are cheaper to compute than to look up."""

    def __init__(self, encoder: Encoder) -> None:
        self.n_features = encoder.n_features
        self.computed = self.cache_hits = 0
        self._encoder = encoder

    def encode(self, parts: Iterable[Part], progress: Progress) -> Encoded:
        """Yield each part with its vectors, float32 (n, n_features), zeros where one is missing."""
        for part in parts:
            count = sum(sha256 is not None for sha256 in part.hashes)
            self.computed += count
            vectors = self._encoder.encode(part.inputs)
            progress(count)
            yield part, vectors

    def check_cost(self, inputs: Sequence[Any], hashes: Sequence[str | None]) -> None:
        """Do nothing: it costs no money."""


class IdleEncoder:
    """Stands for an encoder that has no input at all, so that none is loaded."""

    n_features = 1
    computed = cache_hits = 0

    def __init__(self, is_sparse: bool) -> None:
        self._is_sparse = is_sparse

    def encode(self, parts: Iterable[Part], progress: Progress) -> Encoded:
        """Yield each part with zeros, float32 (n, 1)."""
        for part in parts:
            zeros = np.zeros((len(part.hashes), self.n_features), dtype=np.float32)
            yield part, csr_array(zeros) if self._is_sparse else zeros

    def check_cost(self, inputs: Sequence[Any], hashes: Sequence[str | None]) -> None:
        """Do nothing: it costs no money."""


@contextmanager
def open_encoder(
    settings: EncoderSettings,
    folder: Path,
    backend_name: str,
    precision: str,
    limits: CacheSettings,
    prepare: Callable[[Any], Any] = lambda value: value,
    has_input: bool = True,
    workers: Workers | None = None,
) -> Iterator[tuple[TableEncoder, Backend]]:
    """Give an encoder of the weights in `folder`, and the backend that runs it.

    `backend_name` and `precision` are those of params.yaml; in precision auto, bfloat16 is taken
    where it hardly changes a vector. `prepare` makes what the encoder takes of an input. No network
    is loaded unless it `has_input`; `workers` load it where they are given. Raises InputError where
    the encoder cannot be loaded or run.
    """
    if not has_input:
        yield IdleEncoder(settings.is_sparse), select_backend(settings, backend_name, precision)
        return
    if settings.is_sparse:
        backend = select_backend(settings, backend_name, precision)
        yield UncachedEncoder(load_encoder(settings, folder, backend)), backend
        return
    file = PAID_FILE if settings.is_remote else CACHE_FILE
    max_bytes = None if settings.is_remote else int(limits.max_gb * 1e9)
    alone = _alone(cache_folder() / f"{file}.run.lock") if settings.is_remote else nullcontext()
    with SqliteCache(cache_folder() / file, max_bytes) as store, alone:
        choose = partial(choose_backend, settings, folder, backend_name, precision)
        write_s = WRITE_S
        if workers is not None or settings.is_remote:
            write_s = 0.0  # what was paid for, or comes in large parts, is kept at once
        if workers is None:
            encoder, backend, key = _choose_and_load(choose, settings, folder, store)
        else:
            backend, key = workers.call(choose)
            key_here = partial(key_of, settings, folder, backend)
            load = partial(load_encoder, settings, folder, backend)
            encoder = DistributedEncoder(Loader(load, key, key_here), workers)
        yield CachedEncoder(encoder, key, store, prepare, write_s), backend
        if store.forgotten:
            print(
                f"warning: {cache_folder() / file} has no room for all vectors: "
                f"{store.forgotten:,} were dropped, which the next run computes again: raise "
                f"cache.max_gb, which is {limits.max_gb}",
                file=sys.stderr,
            )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other run has the lock: at once, two would pay for the same texts."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("waiting for another run, which embeds by an endpoint", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _choose_and_load(
    choose: Callable[..., tuple[Backend, str]],
    settings: EncoderSettings,
    folder: Path,
    store: SqliteCache,
) -> tuple[Encoder, Backend, str]:
    """Return an encoder with what `choose` returns; the one that was tried, where one was."""
    load = cache(partial(load_encoder, settings, folder))  # compiling a network takes a second
    backend, key = choose(store, load)
    return load(backend), backend, key


def choose_backend(
    settings: EncoderSettings,
    folder: Path,
    backend_name: str,
    precision: str,
    store: SqliteCache | None = None,
    load: Callable[[Backend], Encoder] | None = None,
) -> tuple[Backend, str]:
    """Return what runs an encoder on this machine, and the hash that its vectors depend on.

    In precision auto that is bfloat16 where the encoder passes the check; `store` keeps the answer,
    and `load` makes the encoders that are tried.
    """
    backend = select_backend(settings, backend_name, precision)
    if precision == "auto" and backend.precision == "bfloat16":
        load = load or partial(load_encoder, settings, folder)
        key = key_of(settings, folder, backend)
        if not _keeps_bfloat16(load, backend, settings.modality, key, store):
            backend = replace(backend, precision="float32")
    return backend, key_of(settings, folder, backend)


def key_of(settings: EncoderSettings, folder: Path, backend: Backend) -> str:
    """Return the hash of all that an encoder's vectors depend on beside their inputs."""
    network = network_key(settings, folder)
    return network if settings.is_remote else vector_key(network, backend)


def load_encoder(settings: EncoderSettings, folder: Path, backend: Backend) -> Encoder:
    """Load an encoder of the weights in `folder`; it averages the views of `tta`."""
    encoder = module_of(settings.kind).load(settings, folder, backend)
    views = getattr(settings, "tta", ["identity"])
    return encoder if views == ["identity"] else AugmentedEncoder(encoder, views)


def _keeps_bfloat16(
    load: Callable[[Backend], Encoder],
    backend: Backend,
    modality: str,
    key: str,
    store: SqliteCache | None,
) -> bool:
    """Return whether an encoder passes the check for bfloat16; a store keeps the answer."""
    if store is None:
        return passes_bfloat16_check(load, backend, modality)
    key = f"{key} {code_key([f'{ROOM}.backends.bfloat16_check'])} bfloat16"
    answer = store.get_many([key]).get(key)
    if answer is None:
        answer = b"yes" if passes_bfloat16_check(load, backend, modality) else b"no"
        store.put_many([(key, answer)])
    return answer == b"yes"


def table_metadata(
    name: str,
    settings: EncoderSettings,
    manifest: Manifest,
    encoder: TableEncoder,
    backend: Backend,
) -> dict[str, Any]:
    """Return what the table of an encoder's vectors says of them: how to compute more of them."""
    return {
        "encoder": name,
        "settings": settings.model_dump(mode="json"),
        "weights": manifest.summary(),
        "backend": backend.name,
        "precision": backend.precision,
        "n_features": encoder.n_features,
    }


def embeddings_table(part: Part, vectors: Matrix) -> pa.Table:
    """Return a table of `embeddings_schema`: the embedding is null where the hash is None."""
    present = np.array([sha256 is not None for sha256 in part.hashes], dtype=bool)
    schema = embeddings_schema(vectors.shape[1] if isinstance(vectors, np.ndarray) else None)
    columns = [part.skus, pa.array(part.hashes, pa.string()), to_arrow(vectors, present)]
    return pa.table(columns, schema=schema)


def summary(name: str, unit: str, encoder: TableEncoder, backend: Backend) -> str:
    """Return a line that says how many inputs were computed, and how many came from the cache."""
    total = encoder.computed + encoder.cache_hits
    if not total:
        return f"{name}: no product has {unit}: nothing to embed"
    return (
        f"{name}: {encoder.computed:,} of {total:,} {unit} computed by {backend.name} in "
        f"{backend.precision}, {encoder.cache_hits:,} from {cache_folder()}"
    )
