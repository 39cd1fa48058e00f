"""One HTTP client and one policy of retries, for single files and for many images.

A request is sent again if it failed for a reason that may pass: no connection, a timeout, status
408, 425, 429 or 5xx, an answer that is cut short or has the wrong content. The pause before it
grows exponentially, with full jitter, and is longer where Retry-After asks for it. Other failures
are final at once.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar
from urllib.request import getproxies

import aiohttp
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from stages.download.failures import RequestError, TemporaryError
from stages.download.settings import DownloadSettings
from stages.download.urls import parse_http_url

T = TypeVar("T")

MAX_REDIRECTS = 5
MAX_WAIT_S = 30.0  # the longest pause that back-off or Retry-After may ask for
GIVE_UP_AFTER = 100  # requests to a host that never answered
NEVER_ANSWERED = "its host never answered"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
RETRIED = frozenset({408, 425, 429, *range(500, 600)})
HEADERS = {"User-Agent": "Mozilla/5.0 (compatible; product-images)"}


def open_session(settings: DownloadSettings) -> aiohttp.ClientSession:
    """Return a session without cookies and without a limit of its own on connections."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
        timeout=aiohttp.ClientTimeout(
            total=None,
            sock_connect=settings.connect_timeout_s,
            sock_read=settings.read_timeout_s,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        # Proxies and passwords are looked up again for each request, so only if there are any.
        trust_env=bool(getproxies()) or _netrc().is_file(),
    )


class Client:
    """Sends requests with a limited number of slots, timeouts, redirects and retries."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: DownloadSettings,
        hosts: "Hosts | None" = None,
    ) -> None:
        """Use a session; `hosts` are those that earlier clients asked, and are added to."""
        self.attempt_s = settings.connect_timeout_s + settings.read_timeout_s
        self._session = session
        self._settings = settings
        # aiohttp's limits on connections cannot replace these slots: a slot is held until the body
        # is used, so that few bodies are in memory, and the wait for one is not part of a timeout.
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._slots_of: dict[HostName, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(settings.per_host)
        )
        self._hosts = {} if hosts is None else hosts

    async def retry(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what `attempt` returns, with retries as the settings say.

        Raises RequestError where a failure is final.
        """
        backoff_s = wait_random_exponential(self._settings.backoff_s, MAX_WAIT_S)

        def wait_s(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked_s = error.wait_s if isinstance(error, TemporaryError) else 0
            return asked_s + backoff_s(state)

        return await AsyncRetrying(
            retry=retry_if_exception_type(TemporaryError),
            stop=stop_after_attempt(1 + self._settings.retries),
            wait=wait_s,
            reraise=True,
        )(attempt)

    @asynccontextmanager
    async def get(
        self, url: str, headers: dict[str, str] | None = None
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, asyncio.Timeout]]:
        """Give the answer to a GET and its deadline; follow redirects.

        A slot is held until the block ends. Raises RequestError, also for failures in the block.
        """
        target = parse_http_url(url)
        for _ in range(MAX_REDIRECTS + 1):
            async with self.slot(target.host, target.port) as host:
                with _named_failures():
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
                            except RequestError:  # an error status or a large body is an answer
                                host.has_answered = True
                                raise
                            host.has_answered = True
                            return
                        host.has_answered = True
            target = parse_http_url(location, target)
        raise RequestError(f"more than {MAX_REDIRECTS} redirects")

    @asynccontextmanager
    async def slot(self, name: str | None, port: int | None = None) -> AsyncIterator["Host"]:
        """Hold a slot of a host until the block ends.

        Raises RequestError where it was asked for long and never answered.
        """
        host = self._hosts.setdefault((name, port), Host())
        async with self._slots_of[name, port], self._slots:
            self._check_alive(host)
            yield host

    def _check_alive(self, host: "Host") -> None:
        """Raise RequestError for a host that got many requests, for a while, and never answered.

        Otherwise a catalogue with many images on a host that is gone would take hours to fail.
        """
        silent_s = time.monotonic() - host.since
        if not host.has_answered and host.n_requests >= GIVE_UP_AFTER and silent_s > self.attempt_s:
            raise RequestError(NEVER_ANSWERED)
        host.n_requests += 1


class Host:
    """Whether a host answers.

    `has_answered` becomes true with the first whole answer: a host that sends a few bytes and stops
    is no better than a silent one.
    """

    def __init__(self) -> None:
        self.n_requests = 0
        self.since = time.monotonic()
        self.has_answered = False


HostName = tuple[str | None, int | None]  # and its port
Hosts = dict[HostName, Host]


def check_status(response: aiohttp.ClientResponse) -> None:
    """Raise RequestError unless the status is 200."""
    if response.status in RETRIED:
        raise TemporaryError(f"HTTP {response.status}", _retry_after_s(response))
    if response.status != 200:
        raise RequestError(f"HTTP {response.status}")


def _retry_after_s(response: aiohttp.ClientResponse) -> float:
    """Return the seconds that Retry-After asks to wait, 0 to MAX_WAIT_S."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        if value.isdecimal():
            seconds = float(value)
        else:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError, OverflowError):  # neither seconds nor a date
        return 0
    return min(max(seconds, 0), MAX_WAIT_S)


@contextmanager
def _named_failures() -> Iterator[None]:
    """Turn the errors of aiohttp, whose messages contain URLs, into short reasons."""
    try:
        yield
    except TimeoutError:
        raise TemporaryError("timed out") from None
    except (aiohttp.InvalidURL, UnicodeError):
        raise RequestError("no valid URL") from None
    except aiohttp.ClientConnectorCertificateError:
        raise RequestError("its host has no valid certificate") from None
    except aiohttp.ClientConnectorDNSError:
        raise TemporaryError("its host is not known") from None
    except aiohttp.ClientConnectorError:
        raise TemporaryError("no connection") from None
    except aiohttp.ClientPayloadError:
        raise TemporaryError("cut short") from None
    except aiohttp.ClientError:
        raise TemporaryError("connection lost") from None


def _netrc() -> Path:
    """Return the file with the users and passwords of hosts, the one that curl reads."""
    return Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
