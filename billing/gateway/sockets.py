"""The last step before the network, where it is known for certain whether anything has left.

httpcore speaks HTTP and asks this module for sockets. What it writes is kept back until it waits
for the answer, so that a request leaves in one piece, and the one line that hands it to the socket
is also the one that checks the deadline and records that it left.

What was handed to the socket lies in the kernel until the other end has it, and a connection that is
closed in the usual way leaves the kernel trying for minutes: a create could arrive long after it was
given up. So a connection is never closed but reset, and the kernel drops what it still holds. That is
set when it is made, so that it also holds for a process that is killed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import httpcore

from billing.gateway.faults import DeadlinePassed, Unusable

# A name may have addresses that lead nowhere (IPv6 without a route): the next one is tried after
# this long, as RFC 8305 advises.
_NEXT_ADDRESS_SECONDS = 0.25
# Beyond this the server is made to wait until what it sent has been read.
_READ_AHEAD_BYTES = 256 * 1024
# Closing means a reset: linger on, for no time.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
# A process that is stopped can't close anything, so the kernel gives up by itself after this long.
_UNDELIVERED_SECONDS = 30


class SendGuard:
    """Watches over one request: `sent` says whether any byte of it may have left.

    Without `send_by` it may leave at any time. `clock` gives aware instants.
    """

    __slots__ = ("_clock", "_send_by", "sent")

    def __init__(self, clock: Callable[[], datetime], send_by: datetime | None = None) -> None:
        self._clock = clock
        self._send_by = send_by
        self.sent = False

    def check(self) -> None:
        """Raise `DeadlinePassed` if it is too late to send."""
        if self._send_by is not None and self._clock() >= self._send_by:
            raise DeadlinePassed

    def leave(self) -> None:
        """Called right before the bytes go to the socket."""
        self.check()
        self.sent = True


class Sockets(httpcore.AsyncNetworkBackend):
    """Opens the connections of one lane. `guard` is the one of the lane's present request.

    Time limits are not kept here: a call has one limit for all it does, kept around it as a whole.
    """

    def __init__(self) -> None:
        self.guard: SendGuard
        self.latest: Stream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.guard.check()
        try:
            stream = await self._first_to_connect(host, port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that DNS can't hold
            raise httpcore.ConnectError("no connection") from error
        self.latest = stream
        return stream

    async def _first_to_connect(self, host: str, port: int) -> Stream:
        """Try the host's addresses in turn, the next one when the last has failed or takes long.

        asyncio can do the same (`happy_eyeballs_delay`), but loses an open socket when it is
        cancelled in the moment that one has connected.
        """
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        attempts: list[asyncio.Task[Stream]] = []
        winner = None
        try:
            for address in dict.fromkeys(str(entry[4][0]) for entry in found):
                attempts.append(asyncio.create_task(self.connect_to(address, port)))
                winner = await _first_success(attempts, _NEXT_ADDRESS_SECONDS)
                if winner is not None:
                    return winner
            while attempts and winner is None:
                winner = await _first_success(attempts, None)
            if winner is None:
                raise OSError(f"{host} has no address")
            return winner
        finally:
            for attempt in attempts:
                attempt.cancel()
            for made in await asyncio.gather(*attempts, return_exceptions=True):
                if isinstance(made, Stream) and made is not winner:
                    made.abort()

    async def connect_to(self, address: str, port: int) -> Stream:
        """Connect to one IP address."""
        _, stream = await asyncio.get_running_loop().create_connection(lambda: Stream(self), address, port)
        return stream


async def _first_success(attempts: list[asyncio.Task[Stream]], timeout: float | None) -> Stream | None:
    """The first connection; None if none is there yet but more can be hoped for.

    Returns early when an attempt fails. Raises the last one's error when all have failed.
    """
    pending = [attempt for attempt in attempts if not attempt.done()]
    if pending:
        await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for attempt in attempts:
        if attempt.done() and attempt.exception() is None:
            return attempt.result()
    if timeout is None and not pending:
        return attempts[-1].result()
    return None


class Stream(httpcore.AsyncNetworkStream, asyncio.Protocol):
    """One connection, plain or TLS."""

    def __init__(self, owner: Sockets) -> None:
        self._owner = owner
        self._transport: asyncio.Transport
        self._kept_back: list[bytes] = []
        self._received = bytearray()
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    # What httpcore calls.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Send what was kept back, then wait for bytes; `b""` once the server has closed."""
        self._send()
        while not self._received and not self._ended:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._received:
            if self._error is not None:
                raise httpcore.ReadError("the connection broke") from self._error
            return b""
        data = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        if self._paused and len(self._received) < _READ_AHEAD_BYTES:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Keep `buffer` back until the answer is waited for. Requests are small: one record."""
        self._kept_back.append(buffer)

    def _send(self) -> None:
        if not self._kept_back:
            return
        if self._ended or self._received:
            # Closed while idle, or an answer to nothing (as a proxy's 408) that must not be taken
            # for ours. It is still certain that nothing left.
            raise Unusable
        request = b"".join(self._kept_back)
        self._kept_back.clear()
        self._owner.guard.leave()
        self._transport.write(request)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                self._transport, self, ssl_context, server_hostname=server_hostname
            )
        except OSError as error:  # ssl.SSLError is one
            raise httpcore.ConnectError("no TLS connection") from error
        if secured is None:  # lost in the very moment the handshake ended
            raise httpcore.ConnectError("no TLS connection")
        self._transport = secured
        return self

    async def aclose(self) -> None:
        """Reset the connection at once; whatever has not reached the other end is dropped."""
        self.abort()
        await asyncio.sleep(0)

    def abort(self) -> None:
        self._transport.abort()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # asked before reuse: an idle connection must be silent and open
            return self._ended or bool(self._received)
        return self._transport.get_extra_info(info)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNDELIVERED_SECONDS * 1000)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _READ_AHEAD_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = exc
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
