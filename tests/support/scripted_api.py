"""A server that does, byte by byte, what a test tells it; and the calls that tests make to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol, TypeVar

from billing.config.schema import Mileston
from billing.core.outcomes import PaymentRequest
from billing.gateway import MilestonClient, MilestonGateway

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=60)
KEY = "key_SECRET_4711"
BUSINESS_ID = "business_SECRET_4711"
NAME = "Zoë Quillfeather"
EMAIL = "zoe.quillfeather@example.org"
WALLET = "0xWALLETofZoe"
MARKER = "RB-0123456789ABCDEF"
PRIVATE = (KEY, BUSINESS_ID, NAME, "Quillfeather", EMAIL, WALLET)


@dataclass
class Connection:
    """One accepted connection, in the hands of a step."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[bytes]
    first: bytes = b""
    open: bool = True

    async def request(self) -> dict[str, Any]:
        """Read one request whole; its JSON body."""
        head, self.first = self.first + await self.reader.readuntil(b"\r\n\r\n"), b""
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None
        body = await self.reader.readexactly(int(length[1]))
        self.requests.append(head + body)
        found: dict[str, Any] = json.loads(body)
        return found

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def close(self) -> None:
        self.open = False
        self.writer.close()
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            await self.writer.wait_closed()

    async def reset(self) -> None:
        """Close with RST instead of FIN."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.close()


T = TypeVar("T")
Step = Callable[[Connection], Awaitable[None]]


async def hang_up(connection: Connection) -> None:
    """Close as soon as the client has connected, without reading anything."""
    await connection.close()


AT_ONCE = (hang_up,)  # steps that do not wait for a request to begin


def answer(status: int, body: object = None, headers: str = "", reason: str = "X") -> bytes:
    """A whole answer; `body` is JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    return (head + headers + "\r\n").encode() + data


def reply(status: int, body: object = None, headers: str = "") -> Step:
    """Read a request, then answer it."""

    async def step(connection: Connection) -> None:
        await connection.request()
        await connection.send(answer(status, body, headers))

    return step


def echo(
    status: int = 201, remote_id: object = "rp_1", top: dict[str, Any] | None = None, **other: Any
) -> Step:
    """Answer a create as the API does; `other` are fields that it gets wrong (None: leaves out)."""

    async def step(connection: Connection) -> None:
        sent = await connection.request()
        record = {**sent, "recurringPaymentId": remote_id, **other}
        record = {name: value for name, value in record.items() if value is not None}
        body = {"statusCode": status, "message": "Created", "recurringPaymentData": record, **(top or {})}
        await connection.send(answer(status, body))

    return step


def raw(data: bytes, then: str = "close") -> Step:
    """Read a request, send these bytes, then `close`, `reset` or `stay`."""

    async def step(connection: Connection) -> None:
        await connection.request()
        await connection.send(data)
        if then != "stay":
            await (connection.close() if then == "close" else connection.reset())

    return step


@dataclass
class ScriptedApi:
    """Takes one step of its script after the other, on whichever connection is there."""

    script: deque[Step] = field(default_factory=deque)
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    bytes_seen: int = 0

    async def __aenter__(self) -> ScriptedApi:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/recurring-payment"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        connection = Connection(reader, writer, self.requests)
        try:
            while connection.open:
                if not (self.script and self.script[0] in AT_ONCE):
                    connection.first = await reader.read(1)
                    self.bytes_seen += len(connection.first)
                    if not connection.first:
                        break
                await self.script.popleft()(connection)
        except ConnectionError:
            pass  # the client gave this connection up
        except asyncio.CancelledError:
            pass  # the test is over; asyncio's streams would log it
        finally:
            await connection.close()
            self._tasks.discard(task)


def settings(url: str, **changes: Any) -> Mileston:
    return Mileston(recurring_payment_url=url, **{"timeout_seconds": 5.0, **changes})


def gateway(url: str, clock: Callable[[], datetime] = lambda: NOW, **changes: Any) -> MilestonGateway:
    return MilestonGateway(settings(url, **changes), "Example", lambda: (KEY, BUSINESS_ID), clock)


def client(url: str, business: str = "Example", **changes: Any) -> MilestonClient:
    return MilestonClient(settings(url, **changes), business, lambda: (KEY, BUSINESS_ID), lambda: NOW)


def payment(**changes: Any) -> PaymentRequest:
    """A request for one payment, like any other but for `changes`."""
    usual = PaymentRequest(MARKER, "Gold", 19_900_000, NAME, EMAIL, date(2026, 2, 1), 30, WALLET)
    return PaymentRequest(**{name: changes.get(name, getattr(usual, name)) for name in usual.__slots__})


class Run(Protocol):
    """Runs `scene(gateway)` against the server."""

    def __call__(self, scene: Callable[[MilestonGateway], Awaitable[T]]) -> T: ...


def run_script(*script: Step, **changes: Any) -> tuple[ScriptedApi, Run]:
    """A server with this script, and a function that runs `scene(gateway)` against it."""
    api = ScriptedApi(deque(script))

    def run(scene: Callable[[MilestonGateway], Awaitable[T]]) -> T:
        async def play() -> T:
            async with api, gateway(api.url, **changes) as the_gateway:
                return await asyncio.wait_for(scene(the_gateway), 20)  # fail rather than hang

        return asyncio.run(play())

    return api, run
