"""What stands before every request: who asks, how often, how much they send, and how long they take to."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from fiftyone_ssa.serve.settings import Limits, ServeSettings, is_loopback

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

OPEN = ("/", "/healthz", "/health", "/docs", "/openapi.json")
"""Paths that need no token: they tell nothing of anyone's pictures. `/static/...` neither."""
DRAINED_BYTES, DRAINED_SECONDS = 500_000_000, 10.0
"""How much of a request that is too large is read and thrown away, so that its sender hears why it was refused."""
MOST_ADDRESSES = 10_000
LONGEST_SIZE = 20
"""Digits of a body's size; Python refuses to read thousands."""
METHODS = ("GET", "HEAD", "POST", "OPTIONS")
HEADERS = (
    (b"content-security-policy", b"default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Rates:
    """A bucket for each address: as many requests as a minute allows, filled again evenly."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_minute` 0: no limit."""
        self._per_minute, self._clock = per_minute, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, address: str) -> float:
        """Take one request of an address; 0, or in how many seconds it may come again."""
        if not self._per_minute:
            return 0.0
        now, key = self._clock(), _network(address)
        left, since = self._buckets.pop(key, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - since) * self._per_minute / 60)
        allowed = left >= 1
        self._buckets[key] = (left - 1 if allowed else left, now)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) * 60 / self._per_minute


def _network(address: str) -> str:
    """An IPv4 address, also where it comes as an IPv6 one; or the /64 of an IPv6 one, which has as many as it likes."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    known = getattr(known, "ipv4_mapped", None) or known
    return str(ipaddress.ip_network((known, 64 if known.version == 6 else 32), strict=False))


class Gate:
    """ASGI middleware: refuses with a sentence what may not, or cannot, be answered, before it takes any memory."""

    def __init__(self, app: App, settings: ServeSettings, answered: Callable[[str, str, int, float], None]) -> None:
        """Without a token, which needs a host of this machine, only pages of this machine may ask.

        `answered` is told each request's method, path, status and seconds.
        """
        self._app, self._token, self._limits = app, settings.token.encode(), settings.limits
        self._local, self._answered = is_loopback(settings.host), answered
        self._rates = Rates(settings.limits.per_minute)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        try:
            await self._answer(scope, _Body(receive, self._limits), send_with_headers)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._answered(method, path, status, time.perf_counter() - started)

    async def _answer(self, scope: Any, body: _Body, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self._app(scope, body.receive, send)
            return
        if refusal.status_code == 413 and headers.get("expect", "").lower() != "100-continue":
            await body.drain()
        response = JSONResponse({"detail": refusal.detail}, refusal.status_code, headers=dict(refusal.headers or {}))
        await response(scope, body.receive, send)

    def _refusal(self, scope: Any, headers: Headers) -> HTTPException | None:
        client = (scope.get("client") or ("",))[0]
        if wait := self._rates.wait_seconds(client):
            return HTTPException(
                429,
                f"more than {self._limits.per_minute:,} requests a minute from {client}; try again in {wait:.0f} s",
                {"retry-after": str(int(wait) + 1)},
            )
        if self._local and (reason := _foreign_page(headers)):
            return HTTPException(403, reason)
        is_open = scope["path"] in OPEN or scope["path"].startswith("/static/")
        if self._token and not is_open and not self._knows(headers.get("authorization", "")):
            return HTTPException(
                401,
                "this service needs its token: send it as `Authorization: Bearer TOKEN`",
                {"www-authenticate": "Bearer"},
            )
        size = headers.get("content-length", "0")
        if not (size.isdecimal() and len(size) <= LONGEST_SIZE):
            return HTTPException(400, "the content-length is no number; send the size of the body in bytes")
        if int(size) > self._limits.upload_bytes:
            return _too_large(self._limits, f"{int(size):,} bytes")
        return None

    def _knows(self, authorization: str) -> bool:
        """Whether a header shows the token, in a time that does not tell how much of it was right."""
        scheme, _, shown = authorization.partition(" ")
        given = shown.strip().encode()
        if scheme.lower() == "basic":  # Label Studio's way: any user's name, the token as the password
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                given = b""
        elif scheme.lower() not in ("bearer", "token"):
            given = b""
        return hmac.compare_digest(given, self._token)


class _Body:
    """A request's body as it comes in, no further than the limits."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive, self._limits = receive, limits
        self._taken, self._ended = 0, False
        self._until: float | None = None

    async def receive(self) -> Message:
        """The next message. Raises HTTPException where the body is too large or too slow."""
        if self._ended:
            return await self._receive()
        self._until = self._until or time.monotonic() + self._limits.body_seconds
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._until - time.monotonic()))
        except TimeoutError as error:
            raise HTTPException(
                408, f"the request did not come in within {self._limits.body_seconds:.0f} s; send it again"
            ) from error
        self._count(message)
        if self._taken > self._limits.upload_bytes:
            await self.drain()
            raise _too_large(self._limits, "more")
        return message

    async def drain(self) -> None:
        """Read what is still sent, up to a bound, and keep nothing of it."""
        until = time.monotonic() + DRAINED_SECONDS
        while not self._ended and self._taken < DRAINED_BYTES and (left := until - time.monotonic()) > 0:
            try:
                self._count(await asyncio.wait_for(self._receive(), left))
            except TimeoutError:
                return

    def _count(self, message: Mapping[str, Any]) -> None:
        self._taken += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)


def _too_large(limits: Limits, got: str) -> HTTPException:
    return HTTPException(413, f"a request may have {limits.upload_bytes:,} bytes, got {got}; send a smaller picture")


def _foreign_page(headers: Headers) -> str:
    """Why a request to this machine's own address is none of its own pages or programs; empty if it may be.

    A page of the internet can make a browser ask 127.0.0.1, under a name of its own that points there (DNS rebinding).
    """
    host = headers.get("host", "")
    if host and not _is_local(host):
        return f"this service listens to this machine only, not to {host[:100]!r}; ask it as 127.0.0.1 or localhost"
    origin = headers.get("origin", "")
    if origin and _netloc(origin) != host:
        return f"the page {origin[:100]!r} may not use this service; use its own page"
    return ""


def _netloc(origin: str) -> str | None:
    """Host and port of a page; None where its address is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _is_local(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
