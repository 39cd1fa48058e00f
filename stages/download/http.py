"""Files and pictures by HTTP: one client and one policy of retries, for a whole file and for many.

A try that fails for a reason that may pass (no connection, time-outs, 408, 425, 429, 5xx, an
answer that is cut short or is not what it should be) is followed by another, after a pause with
exponential back-off, full jitter and what Retry-After asks for. Anything else is final at once.
"""

import asyncio
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies

import aiohttp
from tqdm import tqdm
from yarl import URL

from stages.common.cache import cache_folder
from stages.common.errors import InputError
from stages.common.files import atomic_file, write_json
from stages.download.settings import DownloadSettings

T = TypeVar("T")

MAX_REDIRECTS = 5
MAX_WAIT_S = 30.0  # the longest pause, whether back-off or Retry-After asks for it
BLOCK = 1 << 16  # bytes of a file that must come within the time that an attempt may take
LEFT_FREE = 256_000_000  # bytes of the disk that a file of any size leaves to others
GIVE_UP_AFTER = 100  # requests that a host has left without any answer
URLS_PER_SLOT = 32  # those that wait to be tried again leave no slot idle
REDIRECTS = frozenset({301, 302, 303, 307, 308})
RETRIED = frozenset({408, 425, 429, *range(500, 600)})
DRIVE_HOSTS = frozenset({"drive.google.com", "docs.google.com"})
HEADERS = {"User-Agent": "Mozilla/5.0 (compatible; product-pictures)"}


@dataclass(frozen=True)
class Failure:
    """Why something could not be had: a short reason, the same for alike, without credentials."""

    reason: str


def too_large(max_bytes: int) -> Failure:
    """Return the failure of what has more than `max_bytes` bytes."""
    return Failure(f"more than {max_bytes:,} bytes")


class _Failed(Exception):
    """A request failed, and another would fail as well."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _FailedForNow(_Failed):
    """A request failed, and another may not, after a pause of at least `wait_s` seconds."""

    def __init__(self, reason: str, wait_s: float = 0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _NoRoom(_Failed):
    """A file is larger than the disk has room for."""


class _Room:
    """How large a file may become: what its reader takes, and what its disk holds."""

    def __init__(self, folder: Path, max_bytes: int | None) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._free = shutil.disk_usage(folder).free

    def check(self, size: int) -> None:
        """Raise _Failed where a file of so many bytes is too large."""
        if self._max_bytes is not None and size > self._max_bytes:
            raise _Failed(too_large(self._max_bytes).reason)
        if size > self._free - LEFT_FREE:
            raise _NoRoom(
                f"it has {size:,} bytes or more, and {self._free:,} were free in {self._folder}, "
                f"of which {LEFT_FREE:,} are left to others"
            )


def mirrored(url: str, mirror: str | None) -> str:
    """Replace the scheme and host of `url`, and its user, by the mirror's; path and query stay."""
    if mirror is None:
        return url
    host, parts = urlsplit(mirror), urlsplit(url)
    return urlunsplit((host.scheme, host.netloc, parts.path, parts.query, ""))


def fetch_each(
    urls: Sequence[str],
    convert: Callable[[bytes], bytes],
    keep: Callable[[str, bytes | Failure], None],
    *,
    mirror: str | None,
    download: DownloadSettings,
    threads: Executor,
) -> None:
    """Fetch `urls`, which are distinct, and hand each to `keep` as soon as it is there.

    `convert` is called in `threads` with an answer's body; where it raises ValueError, the answer
    was not what it should be and is asked for again. `keep` is called in this thread, once per URL,
    in the order in which they end, with what `convert` returned or with the reason of the failure.
    At most `download.concurrency` bodies of `download.max_bytes` are in memory.
    """
    asyncio.run(_fetch_each(urls, convert, keep, mirror, download, threads))


def fetch_file(
    url: str,
    *,
    mirror: str | None,
    download: DownloadSettings,
    max_bytes: int | None = None,
    cache: Path | None = None,
) -> Path:
    """Fetch a file and return where it lies in the folder `cache`, or in .cache/files.

    A file that is there already is asked for only if it has changed since, by its ETag or date. One
    from Google Drive, which has neither, is fetched once.

    Raises InputError naming the URL where it cannot be had, has more than `max_bytes` bytes or does
    not fit on the disk.
    """
    try:
        asked = _asked(url, mirror)
        host = _checked(asked).host
        place = (cache or cache_folder() / "files") / _file_name(asked)
        if host in DRIVE_HOSTS:
            _fetch_from_drive(asked, place, download, max_bytes)
        else:
            asyncio.run(_fetch_file(asked, place, download, max_bytes))
    except _NoRoom as full:
        raise InputError(
            f"{url} does not fit on the disk: {full.reason}; make room there"
        ) from None
    except _Failed as failed:
        raise InputError(
            f"{url} cannot be fetched{f' from the mirror {mirror}' if mirror else ''}: "
            f"{failed.reason}; see that the URL is right and the network is there, or name a host "
            "that has it as data.mirror"
        ) from None
    return place


async def _fetch_each(
    urls: Sequence[str],
    convert: Callable[[bytes], bytes],
    keep: Callable[[str, bytes | Failure], None],
    mirror: str | None,
    download: DownloadSettings,
    threads: Executor,
) -> None:
    async with _session(download) as session:
        client = _Client(session, download)

        async def fetch(url: str) -> bytes:
            async with client.answer(_asked(url, mirror)) as (response, deadline):
                body = await _body(response, download.max_bytes)
                deadline.reschedule(None)  # what follows is our own time
                loop = asyncio.get_running_loop()
                try:
                    return await loop.run_in_executor(threads, convert, body)
                except ValueError as error:
                    raise _FailedForNow(str(error)) from None

        async def work(left: Iterator[str]) -> None:
            for url in left:
                try:
                    result: bytes | Failure = await client.retried(partial(fetch, url))
                except _Failed as failed:
                    result = Failure(failed.reason)
                keep(url, result)

        most = download.per_host * URLS_PER_SLOT
        workers = [
            work(left)
            for group in _by_host(urls, mirror)
            for left in itertools.repeat(iter(group), min(len(group), most))
        ]
        await asyncio.gather(*workers)


def _by_host(urls: Sequence[str], mirror: str | None) -> Iterable[list[str]]:
    """Part URLs by host, so that those of one host do not wait for another's."""
    groups: dict[str, list[str]] = defaultdict(list)
    for url in urls:
        groups[(mirror or url).partition("://")[2].partition("/")[0]].append(url)
    return groups.values()


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Read an answer's body, stopping where it turns out to be too large."""
    _check_status(response)
    body = bytearray()
    if (response.content_length or 0) <= max_bytes:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > max_bytes:
                break
        else:
            return bytes(body)
    raise _Failed(too_large(max_bytes).reason)


async def _fetch_file(
    url: str, place: Path, download: DownloadSettings, max_bytes: int | None
) -> None:
    """Bring `place` up to date; its validators lie beside it, in a file of their own."""
    facts_file = place.with_name(f"{place.name}.facts.json")

    async def fetch() -> None:
        facts = _facts_of(place, facts_file)
        headers = {
            header: facts[name]
            for header, name in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
            if name in facts
        }
        async with client.answer(url, headers) as (response, deadline):
            if response.status == 304 and headers:
                return
            _check_status(response)
            with atomic_file(place) as part:
                room = _Room(part.parent, max_bytes)
                room.check(response.content_length or 0)
                with part.open("wb") as file, _bar(place.name, response) as bar:
                    async for block in _blocks(response, deadline, client.attempt_s):
                        room.check(file.tell() + len(block))
                        file.write(block)
                        bar.update(len(block))
                # Validators never stand beside a file that they are not about.
                facts_file.unlink(missing_ok=True)
                size = part.stat().st_size
            named = {
                name: response.headers[name]
                for name in ("ETag", "Last-Modified")
                if name in response.headers
            }
            write_json(facts_file, {"size": size, **named})

    async with _session(download) as session:
        client = _Client(session, download)
        await client.retried(fetch)


async def _blocks(
    response: aiohttp.ClientResponse, deadline: asyncio.Timeout, block_s: float
) -> AsyncIterator[bytes]:
    """Yield an answer's body, each block of which must come within `block_s` seconds."""
    now = asyncio.get_running_loop().time
    unrewarded = 0
    async for chunk in response.content.iter_any():
        unrewarded += len(chunk)
        if unrewarded >= BLOCK:
            unrewarded = 0
            deadline.reschedule(now() + block_s)
        yield chunk
    deadline.reschedule(None)


def _fetch_from_drive(
    url: str, place: Path, download: DownloadSettings, max_bytes: int | None
) -> None:
    """Fetch a file that is shared on Google Drive, unless it is there."""
    if place.exists():
        return
    import gdown
    import requests
    from gdown.parse_url import parse_url

    if parse_url(url)[0] is None:
        raise _Failed("it is a link to Google Drive, but to no file")
    place.parent.mkdir(parents=True, exist_ok=True)
    room = _Room(place.parent, max_bytes)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder, _bar(place.name) as bar:

        def show(done: int, total: int | None) -> None:
            room.check(max(done, total or 0))
            bar.total = total
            bar.update(done - bar.n)

        part = Path(folder) / "file"
        try:
            gdown.download(
                url,
                str(part),
                quiet=True,
                use_cookies=False,
                timeout=(download.connect_timeout_s, download.read_timeout_s),
                retries=download.retries,
                progress=show,
            )
        except (gdown.DownloadError, requests.RequestException, LookupError) as error:
            raise _Failed(
                f"Google Drive does not give it ({type(error).__name__}): share it with anyone who "
                "has the link, or download it by hand into data.folder"
            ) from None
        part.replace(place)


class _Host:
    """What is known of a host: its slots, how often and since when it was asked.

    It `answers` once it has given an answer whole: one that only trickles is as good as none.
    """

    def __init__(self, slots: int) -> None:
        self.slots = asyncio.Semaphore(slots)
        self.asked = 0
        self.asked_since = asyncio.get_running_loop().time()
        self.answers = False


class _Client:
    """Requests with slots, time-outs, redirects and retries."""

    def __init__(self, session: aiohttp.ClientSession, download: DownloadSettings) -> None:
        self.attempt_s = download.connect_timeout_s + download.read_timeout_s
        self._session = session
        self._download = download
        self._slots = asyncio.Semaphore(download.concurrency)
        self._hosts: dict[tuple[str | None, int | None], _Host] = defaultdict(
            lambda: _Host(download.per_host)
        )

    async def retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what `attempt` returns, trying again as the parameters say.

        Raises _Failed once that is final.
        """
        for number in range(self._download.retries):
            try:
                return await attempt()
            except _FailedForNow as failed:
                longest = min(self._download.backoff_s * 2**number, MAX_WAIT_S)
                await asyncio.sleep(failed.wait_s + random.uniform(0, longest))
        return await attempt()

    @asynccontextmanager
    async def answer(
        self, url: str, headers: dict[str, str] | None = None
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, asyncio.Timeout]]:
        """Give the answer to a GET, redirects followed, and the deadline by which it must be read.

        A slot is held until the block ends. Raises _Failed, also for what fails inside the block.
        """
        target = _checked(url)
        for _ in range(MAX_REDIRECTS + 1):
            host = self._hosts[target.host, target.port]
            # The deadline is of this request alone: the wait for a slot does not count.
            async with host.slots, self._slots:
                self._check_alive(host)
                with _failures_named():
                    async with (
                        asyncio.timeout(self.attempt_s) as deadline,
                        self._session.get(
                            target, headers=headers, allow_redirects=False
                        ) as response,
                    ):
                        location = response.headers.get("Location")
                        if response.status not in REDIRECTS or location is None:
                            try:
                                yield response, deadline
                            except _Failed:  # a no, or too much, is an answer nevertheless
                                host.answers = True
                                raise
                            host.answers = True
                            return
                        host.answers = True
            target = _checked(location, target)
        raise _Failed(f"more than {MAX_REDIRECTS} redirects")

    def _check_alive(self, host: _Host) -> None:
        """Give a host up that was asked often, for as long as an attempt takes, and never answered.

        Without this, a catalogue of many pictures on a host that is gone would take hours to fail.
        """
        silent_s = asyncio.get_running_loop().time() - host.asked_since
        if not host.answers and host.asked >= GIVE_UP_AFTER and silent_s > self.attempt_s:
            raise _Failed("its host never answered")
        host.asked += 1


def _session(download: DownloadSettings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),  # the slots are the limit
        timeout=aiohttp.ClientTimeout(
            total=None,
            sock_connect=download.connect_timeout_s,
            sock_read=download.read_timeout_s,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        # Proxies and passwords are looked up anew for each request, so only where there are any.
        trust_env=bool(getproxies()) or _netrc().is_file(),
    )


def _netrc() -> Path:
    """Return where users and passwords of hosts are kept, as curl and others have it."""
    return Path(os.environ.get("NETRC", "~/.netrc")).expanduser()


@contextmanager
def _failures_named() -> Iterator[None]:
    """Turn the client's errors, whose texts name URLs, into reasons."""
    try:
        yield
    except TimeoutError:
        raise _FailedForNow("timed out") from None
    except (aiohttp.InvalidURL, UnicodeError):
        raise _Failed("no valid URL") from None
    except aiohttp.ClientConnectorCertificateError:
        raise _Failed("its host has no valid certificate") from None
    except aiohttp.ClientConnectorDNSError:
        raise _FailedForNow("its host is not known") from None
    except aiohttp.ClientConnectorError:
        raise _FailedForNow("no connection") from None
    except aiohttp.ClientPayloadError:
        raise _FailedForNow("cut short") from None
    except aiohttp.ClientError:
        raise _FailedForNow("connection lost") from None


def _check_status(response: aiohttp.ClientResponse) -> None:
    """Raise where an answer is no whole body."""
    if response.status in RETRIED:
        raise _FailedForNow(f"HTTP {response.status}", _retry_after_s(response))
    if response.status != 200:
        raise _Failed(f"HTTP {response.status}")


def _retry_after_s(response: aiohttp.ClientResponse) -> float:
    """Return for how many seconds a host wants to be left alone, 0 to MAX_WAIT_S."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        if value.isdecimal():
            seconds = float(value)
        else:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):  # neither seconds nor a date
        return 0
    return min(max(seconds, 0), MAX_WAIT_S)


def _asked(url: str, mirror: str | None) -> str:
    try:
        return mirrored(url, mirror)
    except ValueError:
        raise _Failed("no valid URL") from None


def _checked(url: str, base: URL | None = None) -> URL:
    """Parse a URL, relative to `base` if there is one; only http and https are let through."""
    try:
        target = URL(url) if base is None else base.join(URL(url))
        host = target.host or ""  # decodes it, which may fail
    except ValueError:
        raise _Failed("no valid URL") from None
    if not host.isprintable():
        raise _Failed("no valid URL")
    if target.scheme not in ("http", "https") or not host:
        raise _Failed("no http or https URL" if base is None else "redirected to no http URL")
    return target


def _file_name(url: str) -> str:
    """Return a file name for a URL: unique, and with the end of its path for whoever looks."""
    end = re.sub(r"[^\w.-]", "_", urlsplit(url).path.rpartition("/")[2], flags=re.ASCII)
    return f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{end[-80:]}"


def _facts_of(place: Path, facts_file: Path) -> dict[str, Any]:
    """Return the validators of a file that was fetched, none unless it is whole."""
    try:
        facts = json.loads(facts_file.read_text(encoding="utf-8"))
        return facts if facts["size"] == place.stat().st_size else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _bar(name: str, response: aiohttp.ClientResponse | None = None) -> tqdm:
    """Return a progress bar in bytes."""
    total = None
    if response is not None and "Content-Encoding" not in response.headers:
        total = response.content_length
    return tqdm(total=total, desc=name[17:], unit="B", unit_scale=True, unit_divisor=1024)
