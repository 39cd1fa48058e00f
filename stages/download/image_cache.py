"""Images that were fetched, and failures, by reference: kept so that nothing is fetched twice."""

import itertools
from collections.abc import Iterable

from stages.common.image_ref import ImageRef
from stages.common.kv_store import SqliteCache
from stages.download.failures import Failure
from stages.download.image_conversion import VERSION
from stages.download.urls import unsigned

Result = bytes | Failure  # a JPEG, or why there is none


class ImageCache:
    """A mapping of references to JPEGs of one size, or to the reasons why there are none.

    An image of a signed link is that of every link that is signed anew. A failure is its own alone:
    the link may have expired.
    """

    def __init__(self, store: SqliteCache, size: int) -> None:
        """Take an open store. Images of another size, or of another conversion, are not found."""
        self._store = store
        self._prefix = f"{VERSION} {size} "

    def get_many(self, references: Iterable[ImageRef]) -> dict[ImageRef, Result]:
        """Return the results that are there among `references`."""
        keys = {reference: self._keys(reference) for reference in references}
        found = self._store.get_many(dict.fromkeys(itertools.chain(*keys.values())))
        return {
            reference: _unpack(next(found[key] for key in its if key in found))
            for reference, its in keys.items()
            if any(key in found for key in its)
        }

    def put_many(self, results: Iterable[tuple[ImageRef, Result]]) -> None:
        """Keep these results: all or none. A result replaces an earlier one of its reference."""
        self._store.put_many(
            (self._keys(reference)[-1 if isinstance(result, Failure) else 0], _pack(result))
            for reference, result in results
        )

    def _keys(self, reference: ImageRef) -> list[str]:
        """Return the keys of an image and of a failure, which are one where no link is signed."""
        text = str(reference)
        texts = dict.fromkeys((unsigned(text), text)) if reference.scheme == "url" else [text]
        return [f"{self._prefix}{one}" for one in texts]


def _pack(result: Result) -> bytes:
    return b"-" + result.reason.encode() if isinstance(result, Failure) else b"+" + result


def _unpack(value: bytes) -> Result:
    return value[1:] if value.startswith(b"+") else Failure(value[1:].decode())
