"""Vectors of a table's inputs: those of earlier runs from a cache, the others computed."""

import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import pyarrow as pa

from stages.common.kv_store import SqliteCache
from stages.common.tables import Matrix
from stages.encoders.base import Encoder, stream

LOOKED_UP = 4096  # vectors that are in memory while it is counted which are there
PARTS = 8  # of a table that are in memory at most: enough for 64 machines of a cluster
WRITE_S = 0.5  # seconds between two writes to the cache: what a killed run loses

Progress: TypeAlias = Callable[[int], Any]
LookUp: TypeAlias = Callable[[Iterable[str]], dict[str, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of a table: the inputs and their SHA-256, None where an input is missing."""

    skus: pa.ChunkedArray
    inputs: Sequence[Any]
    hashes: Sequence[str | None]


Encoded: TypeAlias = Generator[tuple[Part, Matrix], None, None]


class CachedEncoder:
    """An encoder that remembers: an input that was seen before, in any run, is not computed."""

    def __init__(
        self,
        encoder: Encoder,
        key: str,
        cache: SqliteCache,
        prepare: Callable[[Any], Any] = lambda value: value,
        write_s: float = WRITE_S,
    ) -> None:
        """Take an encoder and its cache.

        `key` is the hash of all that its vectors depend on; `prepare` makes what the encoder takes
        of an input, in several threads. New vectors are cached together, each `write_s` seconds and
        at the end, even if that is an error: a killed process loses those of its last `write_s`.
        """
        self.n_features = encoder.n_features
        self.computed = self.cache_hits = 0
        self._encoder = encoder
        self._key = key
        self._cache = cache
        self._prepare = prepare
        self._write_s = write_s

    def encode(self, parts: Iterable[Part], progress: Progress) -> Encoded:
        """Yield each part with its vectors, float32 (n, n_features), zeros where one is missing.

        Some parts are taken ahead of what was yielded, so that what computes does not wait where a
        part ends. `progress` is called with how many more inputs are done. Close the iterator.
        """
        rest = iter(parts)
        is_last = False
        rows = _Rows(self.n_features, self._look_up, progress)
        with BulkWriter(self._cache, self._write_s) as cached:

            def begin(part: Part) -> list[Any]:
                cached.write()  # or what was computed a moment ago would not be found
                new = rows.begin(part)
                self.computed += len(new)
                self.cache_hits += len({*part.hashes} - {None}) - len(new)
                return new

            def given() -> Iterator[Any]:
                nonlocal is_last
                while rows.n_parts < PARTS:
                    if (part := next(rest, None)) is None:
                        is_last = True
                        return
                    yield from begin(part)
                    if rows.are_complete:  # to hand them out costs no time, and makes room
                        return

            while not is_last:
                with closing(stream(self._encoder, given(), self._prepare)) as found:
                    for computed in found:
                        # A kind may give other numbers; the cache would read their bytes as these.
                        vectors = np.asarray(computed, dtype=np.float32)
                        hashes = list(map(rows.put, vectors))
                        cached.add(map(self._row_key, hashes), vectors)
                        yield from rows.done()
                if not rows.are_complete:
                    raise ValueError("the encoder returned fewer vectors than it got inputs")
                yield from rows.done()

    def check_cost(self, inputs: Sequence[Any], hashes: Sequence[str | None]) -> None:
        """Raise InputError where computing those that are not in the cache would cost too much."""
        check = getattr(self._encoder, "check_cost", None)
        if check is None:
            return
        given = {sha256: one for sha256, one in zip(hashes, inputs, strict=True) if sha256}
        keys = list(given)
        for start in range(0, len(keys), LOOKED_UP):
            for sha256 in self._look_up(keys[start : start + LOOKED_UP]):
                del given[sha256]
        check(list(given.values()))

    def _look_up(self, hashes: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the vectors that are in the cache."""
        keys = {self._row_key(sha256): sha256 for sha256 in hashes}
        return {
            keys[key]: np.frombuffer(value, dtype=np.float32)
            for key, value in self._cache.get_many(keys).items()
        }

    def _row_key(self, sha256: str) -> str:
        return hashlib.sha256(f"{self._key} {sha256}".encode()).hexdigest()


@dataclass(eq=False)
class _Begun:
    """A part, its vectors as far as they are there, and how many inputs are still computed."""

    part: Part
    vectors: np.ndarray
    missing: int = 0


class _Rows:
    """The rows of the parts that were begun, and the inputs whose vectors they wait for."""

    def __init__(self, n_features: int, look_up: LookUp, progress: Progress) -> None:
        self._n_features = n_features
        self._look_up = look_up
        self._progress = progress
        self._begun: deque[_Begun] = deque()
        # By SHA-256, in the order in which they are computed.
        self._waiting: OrderedDict[str, list[tuple[_Begun, list[int]]]] = OrderedDict()

    @property
    def n_parts(self) -> int:
        """How many parts are in memory."""
        return len(self._begun)

    @property
    def are_complete(self) -> bool:
        """Whether no row waits for a vector."""
        return not self._waiting

    def begin(self, part: Part) -> list[Any]:
        """Begin a part; return those of its inputs that are now to be computed, in this order."""
        rows: dict[str, list[int]] = {}
        for row, sha256 in enumerate(part.hashes):
            if sha256 is not None:
                rows.setdefault(sha256, []).append(row)
        one = _Begun(part, np.zeros((len(part.hashes), self._n_features), dtype=np.float32))
        self._begun.append(one)
        known = self._look_up(rows.keys() - self._waiting.keys())
        for sha256, vector in known.items():
            self._fill(one, rows[sha256], vector)
        unknown = [sha256 for sha256 in rows if sha256 not in known]
        new = [sha256 for sha256 in unknown if sha256 not in self._waiting]
        # Texts of like length go side by side; to images the order does not matter.
        new.sort(key=lambda sha256: len(part.inputs[rows[sha256][0]]))
        self._waiting.update((sha256, []) for sha256 in new)
        for sha256 in unknown:
            self._waiting[sha256].append((one, rows[sha256]))
        one.missing = len(unknown)
        return [part.inputs[rows[sha256][0]] for sha256 in new]

    def put(self, vector: np.ndarray) -> str:
        """Take the vector of the next input; return the input's SHA-256."""
        sha256, waiting = self._waiting.popitem(last=False)
        for one, rows in waiting:
            self._fill(one, rows, vector)
            one.missing -= 1
        return sha256

    def done(self) -> Encoded:
        """Yield the parts whose vectors are all there, up to the first that lacks one."""
        while self._begun and not self._begun[0].missing:
            one = self._begun.popleft()
            yield one.part, one.vectors

    def _fill(self, one: _Begun, rows: list[int], vector: np.ndarray) -> None:
        one.vectors[rows] = vector
        self._progress(len(rows))


class BulkWriter:
    """Writes rows to a cache together, each `write_s` seconds and when its block ends."""

    def __init__(self, cache: SqliteCache, write_s: float) -> None:
        self._cache = cache
        self._write_s = write_s
        self._rows: list[tuple[str, bytes]] = []
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write the rest, even after an error."""
        self.write()

    def add(self, keys: Iterable[str], vectors: np.ndarray) -> None:
        """Take rows, and write those so far if it is time."""
        self._rows += [(key, row.tobytes()) for key, row in zip(keys, vectors, strict=True)]
        if time.monotonic() - self._last >= self._write_s:
            self.write()

    def write(self) -> None:
        """Write the rows that were taken so far."""
        # Forgotten first: where they cannot be written, the end of the block tries no second time.
        rows, self._rows = self._rows, []
        self._cache.put_many(rows)
        self._last = time.monotonic()
