"""Fetch images from the hosts that the settings name, and from nowhere else."""

import asyncio
import ipaddress
import socket
from collections.abc import Collection

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from serving.server.images import too_large
from stages.download.client import HEADERS, REDIRECTS
from stages.download.failures import RequestError
from stages.download.image_conversion import ImageError
from stages.download.urls import parse_http_url

MAX_REDIRECTS = 3
CONCURRENCY = 32


class ImageHosts:
    """Fetches images of named hosts.

    Each URL on the way must be of one of them, also where a redirect leads. A host's name may not
    stand for an address of a private network, unless that is allowed: whoever owns the name chooses
    the address. An address that is itself among `hosts` is meant.
    """

    def __init__(
        self, hosts: Collection[str], *, max_bytes: int, timeout_s: float, allow_private: bool
    ) -> None:
        self._hosts = frozenset(hosts)
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        resolver = aiohttp.ThreadedResolver() if allow_private else _PublicResolver()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONCURRENCY, resolver=resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def fetch(self, url: str) -> bytes:
        """Return what is at a URL. Raises ImageError with a reason that is fit to be shown."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(self._checked(parse_http_url(url.strip())))
        except RequestError as error:
            raise ImageError(error.reason) from None
        except TimeoutError:
            raise ImageError("its host did not answer in time") from None
        except (aiohttp.ClientError, UnicodeError, ValueError, OSError) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError("its host did not send it") from None

    async def _follow(self, url: URL) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            async with self._session.get(url, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status not in REDIRECTS or location is None:
                    return await self._body(response)
                url = self._checked(parse_http_url(location, url))
        raise ImageError(f"more than {MAX_REDIRECTS} redirects")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        if response.status != 200:
            raise ImageError(f"HTTP {response.status}")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_bytes:
                raise too_large(self._max_bytes)
        return bytes(body)

    def _checked(self, url: URL) -> URL:
        """Return a URL that may be asked for; raise ImageError for any other."""
        host = (url.raw_host or "").lower()
        host = f"[{host}]" if ":" in host else host
        names = {f"{host}:{url.port}"} | ({host} if url.is_default_port() else set())
        if url.user is not None or url.password is not None or not names & self._hosts:
            raise ImageError("its host is not among those that the server may ask")
        return url


class _PublicResolver(AbstractResolver):
    """Finds the addresses of names, and none that is not public."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name; raise ImageError where one of them is private."""
        found = await self._resolver.resolve(host, port, family)
        if not all(ipaddress.ip_address(entry["host"]).is_global for entry in found):
            raise ImageError("its host has an address of a private network")
        return found

    async def close(self) -> None:
        """Close nothing."""
