"""What no request may do: come without the key, be too large, too slow, or one too many."""

import asyncio
import hmac
from collections.abc import Mapping
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.server.errors import Refusal, busy, response_of
from serving.server.settings import ServerSettings

OPEN = frozenset({"/", "/health", "/docs", "/openapi.json"})  # for those without the key
OPEN_FOLDER = "/static/"
ALWAYS = frozenset({"/health", "/metrics"})  # answered however busy the server is
DISCARDED = 4  # times the largest body: what is read and forgotten before a refusal
CLOSE = (b"connection", b"close")


class HungUp(Exception):
    """The client is gone."""


class Guard:
    """Reads the body of each request, within the limits, before the application sees it.

    A body that is too large is read on and forgotten for a while, since most clients read no answer
    before they have sent all.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings
        key = settings.api_key
        self._key = key.get_secret_value().encode() if key else None
        self._held = 0  # bytes of bodies in memory
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive)
        try:
            await self._answer(scope, body, send)
        except Refusal as error:
            await self._refuse(error, body, scope, send)
        except HungUp:
            pass
        finally:
            self._held -= body.counted

    async def _answer(self, scope: Scope, body: "_Body", send: Send) -> None:
        self._check_key(scope, body.headers)
        await self._read(body)
        if self._running >= self._settings.max_requests and scope["path"] not in ALWAYS:
            raise busy(f"{self._running} requests are being answered: try again later")
        self._running += 1
        try:
            await self._app(scope, body.replay, send)
        finally:
            self._running -= 1

    def _check_key(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        path = scope["path"]
        if self._key is None or path in OPEN or path.startswith(OPEN_FOLDER):
            return
        kind, _, key = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(key.strip(), self._key):
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                "send the server's key in the header Authorization: Bearer KEY",
                {"WWW-Authenticate": "Bearer"},
            )

    async def _read(self, body: "_Body") -> None:
        limit, seconds = self._settings.max_body_bytes, self._settings.body_timeout_s
        large = Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body has more than {limit:,} bytes: send less",
        )
        if body.length > limit:
            raise large
        try:
            async with asyncio.timeout(seconds):
                while chunk := await body.next():
                    body.counted += len(chunk)
                    self._held += len(chunk)
                    if body.counted > limit:
                        raise large
                    if self._held > self._settings.max_bodies_bytes:
                        raise busy("other requests fill the memory: try again later")
                    body.content += chunk
        except TimeoutError:
            body.is_dead = True
            raise Refusal(
                HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {seconds:g} seconds"
            ) from None

    async def _refuse(self, error: Refusal, body: "_Body", scope: Scope, send: Send) -> None:
        body.content.clear()
        self._held -= body.counted
        body.counted = 0
        try:
            if not body.is_dead and not body.is_awaited:
                async with asyncio.timeout(self._settings.body_timeout_s):
                    await body.discard(DISCARDED * self._settings.max_body_bytes)
        except TimeoutError:
            pass
        except HungUp:
            return

        async def close(message: Message) -> None:
            if message["type"] == "http.response.start" and body.is_open:
                message["headers"] = [*message["headers"], CLOSE]
            await send(message)

        await response_of(error)(scope, body.replay, close)


class _Body:
    """The body of a request, as far as it has come."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.content = bytearray()
        self.counted = 0
        self.length = int(self.headers.get(b"content-length", b"0"))
        # Without either header a request has no body.
        self.is_open = self.length > 0 or b"transfer-encoding" in self.headers
        self.is_awaited = b"expect" in self.headers  # sent only when the server asks for it
        self.is_dead = False
        self._receive = receive
        self._is_replayed = False

    async def next(self) -> bytes:
        """Return the next bytes, none at the end. Raises HungUp."""
        while self.is_open:
            message = await self._receive()
            self.is_awaited = False
            if message["type"] == "http.disconnect":
                raise HungUp
            self.is_open = message.get("more_body", False)
            if chunk := message.get("body", b""):
                return chunk
        return b""

    async def discard(self, limit: int) -> None:
        """Read on, up to `limit` bytes."""
        while limit > 0 and (chunk := await self.next()):
            limit -= len(chunk)

    async def replay(self) -> Message:
        """Return the whole body in one message, then what else comes."""
        if self._is_replayed:
            return await self._receive()
        self._is_replayed = True
        return {"type": "http.request", "body": bytes(self.content), "more_body": False}
