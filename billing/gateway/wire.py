"""One call to the API: bytes out, a status and bytes back, or a fault that says what is proved.

One httpx client for many calls at once collapses: its pool walks over all connections and all
waiting calls whenever one begins or ends. Here a call takes a lane (one connection) from a free
list and puts it back, the warmest on top. A lane that saw any fault is closed, never used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

import httpcore
import httpx

from billing import __version__
from billing.core import reasons
from billing.errors import BillingError
from billing.gateway.errors import Unauthorized
from billing.gateway.faults import NETWORK_FAULTS, Fault, TooLarge, Unusable, reason_of
from billing.gateway.sockets import SendGuard, Sockets

Credentials = Callable[[], tuple[str, str]]
Clock = Callable[[], datetime]
Observer = Callable[[str, int | None, float], None]

logger = logging.getLogger("billing.gateway")

# Servers close idle connections after five seconds or more. Closing ours sooner makes it rare
# that one closes just as a payment is being sent, which would leave an unknown.
_IDLE_SECONDS = 4.0
_PIECE_BYTES = 64 * 1024
# A long answer may take its time, but one that drips must not hold a cycle up.
_LEAST_BYTES_PER_SECOND = 16 * 1024
# What a header can carry: Latin-1 without control characters and without blanks at the ends.
_HEADER_VALUE = re.compile(r"[\x21-\x7e\xa0-\xff](?:[\x20-\x7e\xa0-\xff]*[\x21-\x7e\xa0-\xff])?")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, all but the keys. `path` is what may be logged: it has no query."""

    name: str
    method: str
    url: httpx.URL
    path: str
    body: bytes = field(repr=False)
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer. `keys` are those that the call was made with, to keep out of messages."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)
    keys: tuple[str, str] = field(repr=False)
    seconds: float


class Lane(httpx.AsyncBaseTransport):
    """A drop-in for `httpx.AsyncHTTPTransport` that holds one connection and knows what left it.

    A request's extension `guard` is its `SendGuard`. Faults are raised as httpcore has them. Never
    two requests at once.
    """

    def __init__(self, ssl_context: ssl.SSLContext) -> None:
        self._ssl_context = ssl_context
        self._sockets = Sockets()
        self._connection: httpcore.AsyncHTTPConnection | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._sockets.guard = request.extensions["guard"]
        assert isinstance(request.stream, httpx.AsyncByteStream)
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        connection = await self._connection_to(url.origin)
        answer = await connection.handle_async_request(
            httpcore.Request(request.method, url, headers=request.headers.raw, content=request.stream)
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    async def _connection_to(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        connection = self._connection
        if connection is not None:
            if connection.is_available() and not connection.has_expired():
                return connection
            await connection.aclose()
        self._connection = httpcore.AsyncHTTPConnection(
            origin,
            ssl_context=self._ssl_context,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=self._sockets,
        )
        return self._connection

    async def aclose(self) -> None:
        """Close the connection, also one that is still being made."""
        if self._sockets.latest is not None:
            await self._sockets.latest.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.aiter_stream()

    async def aclose(self) -> None:
        await self._answer.aclose()


class Wire:
    """Makes calls to one server. Any number of tasks may call at once; each gets its own lane.

    `credentials` is called for every request, so that a rotated key is used at once. `on_call` receives
    each call's name, status (None without an answer) and seconds.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_seconds: float,
        credentials: Credentials,
        clock: Clock,
        on_call: Observer | None = None,
        ssl_context: ssl.SSLContext | None = None,
        make_lane: Callable[[ssl.SSLContext], httpx.AsyncBaseTransport] = Lane,
    ) -> None:
        self.base_url = httpx.URL(base_url)
        self.clock = clock
        self._timeout_seconds = timeout_seconds
        self._credentials = credentials
        self._on_call = on_call
        self._ssl_context = ssl_context
        self._make_lane = make_lane
        self._free: list[httpx.AsyncBaseTransport] = []
        self._closed = False
        self._keys: tuple[str, str] | None = None
        self._headers = httpx.Headers()
        _quiet_libraries()

    async def exchange(
        self, call: Call, send_by: datetime | None = None, sink: Callable[[bytes], None] | None = None
    ) -> Reply:
        """Make one call and read its answer whole, within the time limit.

        With a `sink` the parts of a 200's body go there as they arrive, and the reply's body is empty; the
        time limit is that of each part then, and grows with what has arrived.

        Raises `Fault`, and `Unauthorized` for keys that can't be sent; what is not a fault of the
        network is raised as it is, unless something may have left by then.
        """
        if self._closed:
            raise RuntimeError("the gateway is closed")
        guard = SendGuard(self.clock, send_by)
        keys = self._current_keys()
        request = self._request(call, guard)
        lane = self._free.pop() if self._free else self._new_lane()
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_seconds) as limit:
                response = await lane.handle_async_request(request)
                if not guard.sent:  # left over from the call before; the request is still held back
                    raise Unusable
                if sink is None or response.status_code != 200:
                    body = await _read(response, call.limit_bytes)
                else:
                    body = await self._pass_on(response, call.limit_bytes, sink, limit)
        except BaseException as error:
            await _close(lane)
            self._failed(call, guard, error, time.perf_counter() - started)
        await self._put_back(lane)
        seconds = time.perf_counter() - started
        if self._on_call is not None:
            self._on_call(call.name, response.status_code, seconds)
        return Reply(response.status_code, response.headers, body, keys, seconds)

    async def _pass_on(
        self,
        response: httpx.Response,
        limit_bytes: int,
        sink: Callable[[bytes], None],
        limit: asyncio.Timeout,
    ) -> bytes:
        """May take longer than the time limit if it neither pauses so long nor drips."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + self._timeout_seconds
        assert isinstance(response.stream, httpx.AsyncByteStream)
        size = 0
        async for part in response.stream:
            size += len(part)
            if size > limit_bytes:
                raise TooLarge
            for start in range(0, len(part), _PIECE_BYTES):
                sink(part[start : start + _PIECE_BYTES])
                await asyncio.sleep(0)  # whatever else waits has its turn
            soon = loop.time() + self._timeout_seconds
            limit.reschedule(min(soon, latest + size / _LEAST_BYTES_PER_SECOND))
        await response.stream.aclose()
        return b""

    def _new_lane(self) -> httpx.AsyncBaseTransport:
        if self._ssl_context is None:
            self._ssl_context = _trusted_context(self.base_url.scheme)
        return self._make_lane(self._ssl_context)

    def _request(self, call: Call, guard: SendGuard) -> httpx.Request:
        headers = httpx.Headers(self._headers)
        headers["Content-Length"] = str(len(call.body))
        return httpx.Request(
            call.method,
            call.url,
            headers=headers,
            stream=httpx.ByteStream(call.body),
            extensions={"guard": guard},
        )

    def _current_keys(self) -> tuple[str, str]:
        """The keys as they are now; the headers that all calls have are made again if they changed."""
        try:
            keys = self._credentials()
        except (BillingError, OSError) as error:
            raise Unauthorized(reasons.KEY_NOT_READ.format(error=type(error).__name__)) from None
        if keys != self._keys:
            self._headers = _headers_for(self.base_url, *keys)
            self._keys = keys
        return keys

    def _failed(self, call: Call, guard: SendGuard, error: BaseException, seconds: float) -> NoReturn:
        reason = reason_of(error, guard.sent, self._timeout_seconds)
        log_call(call, None, seconds, reason)
        if self._on_call is not None:
            self._on_call(call.name, None, seconds)
        # Once something may have left, whatever went wrong only means that the outcome is unknown.
        # Before that, a fault of ours must not be mistaken for one of the network.
        if isinstance(error, NETWORK_FAULTS) or (guard.sent and isinstance(error, Exception)):
            raise Fault(guard.sent, reason) from None
        raise error

    async def _put_back(self, lane: httpx.AsyncBaseTransport) -> None:
        if self._closed:
            await _close(lane)
        else:
            self._free.append(lane)

    async def close(self) -> None:
        """Close the idle connections; those in use close as their calls end."""
        self._closed = True
        while self._free:
            await _close(self._free.pop())


async def _read(response: httpx.Response, limit_bytes: int) -> bytes:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    parts: list[bytes] = []
    size = 0
    async for part in response.stream:
        size += len(part)
        if size > limit_bytes:
            raise TooLarge
        parts.append(part)
    await response.stream.aclose()  # the connection is free for the next call
    return b"".join(parts)


async def _close(lane: httpx.AsyncBaseTransport) -> None:
    # An error while closing adds nothing to what is known about the call.
    with contextlib.suppress(*NETWORK_FAULTS):
        await lane.aclose()


def log_call(call: Call, status: int | None, seconds: float, note: str) -> None:
    """One line a call: debug if it went well, info if not. `note` is a remote id or a reason."""
    level = logging.DEBUG if status is not None and 200 <= status < 300 else logging.INFO
    if logger.isEnabledFor(level):
        answer = "no answer" if status is None else status
        logger.log(level, "%s %s: %s, %.0f ms, %s", call.method, call.path, answer, seconds * 1000, note)


@functools.cache
def _trusted_context(scheme: str) -> ssl.SSLContext:
    """What servers are verified with. One for all lanes: reading the trusted roots takes long."""
    if scheme == "https":
        return httpx.create_ssl_context(trust_env=False)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used; trusts nobody


def _headers_for(base_url: httpx.URL, key: str, business_id: str) -> httpx.Headers:
    for not_sent, value in ((reasons.KEY_NOT_SENT, key), (reasons.BUSINESS_NOT_SENT, business_id)):
        if not _HEADER_VALUE.fullmatch(value):
            raise Unauthorized(f"{not_sent}: {reasons.NO_HEADER}", permanent=True)
    return httpx.Headers(
        [
            (b"Host", base_url.netloc),
            (b"apikey", key.encode("latin-1")),
            (b"businessid", business_id.encode("latin-1")),
            (b"Content-Type", b"application/json"),
            (b"Accept", b"application/json"),
            # The answer's size is then what was sent, and a limit on it means what it says.
            (b"Accept-Encoding", b"identity"),
            (b"User-Agent", f"recurring-billing/{__version__}".encode()),
        ]
    )


def _quiet_libraries() -> None:
    """Keep the HTTP libraries' own lines out of the log: they show whole URLs and headers."""
    for name in ("httpx", "httpcore"):
        library = logging.getLogger(name)
        if library.level == logging.NOTSET:
            library.setLevel(logging.WARNING)
