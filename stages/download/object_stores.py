"""Images in object stores, Amazon's S3 and Google's, read by Arrow.

Keys and regions come from where the stores' own tools take them, such as the environment.
"""

import asyncio
import atexit
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from threading import Lock, Thread
from typing import TYPE_CHECKING

from stages.download.client import Client
from stages.download.failures import RequestError, TemporaryError, too_large
from stages.download.settings import DownloadSettings

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

NO_CONNECTION = "no connection"
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # of a server with the interface of S3
_OBJECT = re.compile(r"(s3|gs)://([\w.-]+)/([^/].*)", re.IGNORECASE | re.DOTALL)
_REFUSED = re.compile(
    r"access_?denied|invalid_?access_?key|signature|expired_?token|authenticat|permission"
    r"|HTTP status 40[13]",
    re.IGNORECASE,
)
_NO_CONNECTION = re.compile(r"network_connection|couldn't connect|curl", re.IGNORECASE)
_MISSING = re.compile(r"no_such|not_?found|' not found|HTTP status 404", re.IGNORECASE)


def is_object(url: str) -> bool:
    """Return whether a URL names an object of a store."""
    return url[:5].lower() in ("s3://", "gs://")


class ObjectStores:
    """The buckets that images are read from, each opened once."""

    def __init__(self, settings: DownloadSettings) -> None:
        self._settings = settings
        self._locks: dict[tuple[str, str], Lock] = {}  # one for each bucket
        self._buckets: dict[tuple[str, str], FileSystem] = {}
        self._failures: dict[tuple[str, str], tuple[float, OSError]] = {}  # when, and why
        self._reads: set[Future[bytes]] = set()  # under way

    def close(self) -> None:
        """Forget what is being read, as after Ctrl-C: a store may not answer for half a minute."""
        if self._reads:
            from pyarrow.fs import ensure_s3_finalized

            atexit.unregister(ensure_s3_finalized)  # which would wait for them

    @asynccontextmanager
    async def get(self, url: str, client: Client) -> AsyncIterator[bytes]:
        """Give the bytes of an object, by one attempt; a slot is held until the block ends.

        Raises RequestError with the reason where it cannot be read or is too large.
        """
        found = _OBJECT.fullmatch(url)
        if found is None:
            raise RequestError("no valid URL")
        scheme, bucket, key = found[1].lower(), found[2], found[3]
        async with client.slot(bucket) as host:
            try:
                content = await asyncio.wrap_future(self._start_read(scheme, bucket, key))
            except RequestError as error:
                host.has_answered |= error.reason != NO_CONNECTION
                raise
            host.has_answered = True
            yield content

    def _start_read(self, scheme: str, bucket: str, key: str) -> Future[bytes]:
        """Read an object, which blocks, in a thread that the end of the process does not await."""
        read: Future[bytes] = Future()
        read.set_running_or_notify_cancel()
        self._reads.add(read)

        def run() -> None:
            try:
                content = self._read(scheme, bucket, key)
            except BaseException as error:
                self._reads.discard(read)
                read.set_exception(error)
            else:
                self._reads.discard(read)
                read.set_result(content)

        Thread(target=run, daemon=True).start()
        return read

    def _read(self, scheme: str, bucket: str, key: str) -> bytes:
        most = self._settings.max_bytes
        with (
            _named_failures(),
            # As a stream: a file of Google's is opened under Python's lock, which stops all else.
            self._bucket(scheme, bucket).open_input_stream(f"{bucket}/{key}") as stream,
        ):
            content = stream.read(most + 1)
        if len(content) > most:
            raise RequestError(too_large(most).reason)
        return content

    def _bucket(self, scheme: str, bucket: str) -> "FileSystem":
        """Return the store of a bucket; those that ask at the same time share a failure."""
        name, asked = (scheme, bucket), time.monotonic()
        with self._locks.setdefault(name, Lock()):
            if name not in self._buckets:
                failure = self._failures.get(name)
                if failure is not None and failure[0] > asked:
                    raise failure[1]
                try:
                    self._buckets[name] = self._open(scheme, bucket)
                except OSError as error:
                    self._failures[name] = time.monotonic(), error
                    raise
            return self._buckets[name]

    def _open(self, scheme: str, bucket: str) -> "FileSystem":
        """Return a store that asks once: it is this room that asks again, after its own pauses."""
        from pyarrow.fs import (
            AwsStandardS3RetryStrategy,
            GcsFileSystem,
            S3FileSystem,
            resolve_s3_region,
        )

        if scheme == "gs":
            return GcsFileSystem(retry_time_limit=timedelta(seconds=1))  # it takes none for never
        endpoint = next(filter(None, map(os.environ.get, ENDPOINTS)), None)
        return S3FileSystem(
            endpoint_override=endpoint,
            region=None if endpoint else resolve_s3_region(bucket),
            connect_timeout=self._settings.connect_timeout_s,
            request_timeout=self._settings.read_timeout_s,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1),
        )


@contextmanager
def _named_failures() -> Iterator[None]:
    """Turn the errors of Arrow, whose messages name keys and hosts, into short reasons."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise RequestError("no such object") from None
    except pa.ArrowInvalid:
        raise RequestError("no valid URL") from None
    except OSError as error:
        text = str(error)
        if _MISSING.search(text):
            raise RequestError("no such object") from None
        if _REFUSED.search(text):
            raise RequestError("its store refuses access") from None
        if _NO_CONNECTION.search(text):
            raise TemporaryError(NO_CONNECTION) from None
        raise TemporaryError("its store failed") from None
