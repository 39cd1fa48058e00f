"""Images that were fetched, and failures, by reference: kept so that nothing is fetched twice."""

from collections.abc import Iterable

from stages.common.image_ref import ImageRef
from stages.common.kv_store import SqliteCache
from stages.download.failures import Failure
from stages.download.image_conversion import VERSION

Result = bytes | Failure  # a JPEG, or why there is none


class ImageCache:
    """A mapping of references to JPEGs of one size, or to the reasons why there are none."""

    def __init__(self, store: SqliteCache, size: int) -> None:
        """Take an open store. Images of another size, or of another conversion, are not found."""
        self._store = store
        self._prefix = f"{VERSION} {size} "

    def get_many(self, references: Iterable[ImageRef]) -> dict[ImageRef, Result]:
        """Return the results that are there among `references`."""
        keys = {self._key(reference): reference for reference in references}
        return {keys[key]: _unpack(value) for key, value in self._store.get_many(keys).items()}

    def put_many(self, results: Iterable[tuple[ImageRef, Result]]) -> None:
        """Keep these results: all or none. A result replaces an earlier one of its reference."""
        self._store.put_many((self._key(reference), _pack(result)) for reference, result in results)

    def _key(self, reference: ImageRef) -> str:
        return f"{self._prefix}{reference}"


def _pack(result: Result) -> bytes:
    return b"-" + result.reason.encode() if isinstance(result, Failure) else b"+" + result


def _unpack(value: bytes) -> Result:
    return value[1:] if value.startswith(b"+") else Failure(value[1:].decode())
