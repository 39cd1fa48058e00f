"""Fetch many images at once, each as soon as there is a free slot."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from functools import partial

import aiohttp

from stages.download.client import Client, Hosts, check_status, open_session
from stages.download.failures import Failure, RequestError, TemporaryError, too_large
from stages.download.object_stores import ObjectStores, is_object
from stages.download.settings import DownloadSettings
from stages.download.urls import mirrored

URLS_PER_SLOT = 32  # so that URLs that wait for a retry leave no slot unused


Convert = Callable[[bytes], bytes]
Keep = Callable[[str, bytes | Failure], None]


def fetch_many(
    urls: Sequence[str],
    convert: Convert,
    keep: Keep,
    *,
    mirror: str | None,
    settings: DownloadSettings,
    threads: Executor,
    hosts: Hosts | None = None,
) -> None:
    """Fetch `urls`, which are distinct, and pass each result to `keep` as soon as it is there.

    A URL may name an object in a store. `convert` is called in `threads` with the body of an
    answer. Where it raises ValueError, the answer has the wrong content and is asked for again.
    `keep` is called in this thread, once per URL, with what `convert` returned or with the reason
    of the failure. At most `settings.concurrency` bodies of `settings.max_bytes` are in memory.
    `hosts` carries from one call to the next which hosts never answered.
    """
    asyncio.run(_fetch_many(urls, convert, keep, mirror, settings, threads, hosts))


async def _fetch_many(
    urls: Sequence[str],
    convert: Convert,
    keep: Keep,
    mirror: str | None,
    settings: DownloadSettings,
    threads: Executor,
    hosts: Hosts | None,
) -> None:
    loop = asyncio.get_running_loop()

    async def converted(body: bytes) -> bytes:
        try:
            return await loop.run_in_executor(threads, convert, body)
        except ValueError as error:
            raise TemporaryError(str(error)) from None

    with closing(ObjectStores(settings)) as stores:
        async with open_session(settings) as session:
            client = Client(session, settings, hosts)

            async def fetch(url: str) -> bytes:
                source = mirrored(url, mirror)
                if is_object(source):
                    async with stores.get(source, client) as body:
                        return await converted(body)
                async with client.get(source) as (response, deadline):
                    body = await _body(response, settings.max_bytes)
                    deadline.reschedule(None)  # the host is not to blame for what follows
                    return await converted(body)

            async def work(remaining: Iterator[str]) -> None:
                for url in remaining:
                    try:
                        result: bytes | Failure = await client.retry(partial(fetch, url))
                    except RequestError as error:
                        result = Failure(error.reason)
                    keep(url, result)

            max_workers = settings.per_host * URLS_PER_SLOT
            workers = [
                work(remaining)
                for group in _group_by_host(urls, mirror)
                for remaining in itertools.repeat(iter(group), min(len(group), max_workers))
            ]
            await asyncio.gather(*workers)


def _group_by_host(urls: Sequence[str], mirror: str | None) -> Iterable[list[str]]:
    """Return the URLs of each host, so that the URLs of one host do not wait for another host."""
    groups: dict[str, list[str]] = defaultdict(list)
    for url in urls:
        groups[host_of(url, mirror)].append(url)
    return groups.values()


def host_of(url: str, mirror: str | None) -> str:
    """Return the host, with its port, that is asked for a URL."""
    return (mirror or url).partition("://")[2].partition("/")[0]


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Read the body of an answer; stop where it is too large."""
    check_status(response)
    body = bytearray()
    if (response.content_length or 0) <= max_bytes:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > max_bytes:
                break
        else:
            return bytes(body)
    raise RequestError(too_large(max_bytes).reason)
