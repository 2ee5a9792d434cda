"""How fast a create is, beside the bare httpx client and its bare transport. Not a test.

    python tests/campaigns/measure_create.py [LANES] [CREATES] [ROUNDS]

All three post the same bytes to the same server, a minimal one in its own process, with the same
number in flight; each has one connection a lane. The order changes from round to round. Printed:
the median of creates/s and of CPU µs a create, and the ratio to the bare client.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import httpx

from billing.config.schema import Mileston
from billing.core.outcomes import OutcomeKind, PaymentRequest
from billing.gateway import MilestonGateway

KEYS = ("key_0123456789abcdef0123456789", "business_0123456789")
HEADERS = {"apikey": KEYS[0], "businessid": KEYS[1], "Content-Type": "application/json"}
LIMITS = httpx.Limits(max_connections=1, max_keepalive_connections=1)
Create = Callable[[int], Awaitable[None]]


class FastServer(asyncio.Protocol):
    """Answers every create with its own fields and an id."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, separator, rest = self.data.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        if len(rest) < length:
            return
        self.data = rest[length:]
        body = b'{"statusCode":201,"message":"Created","recurringPaymentData":{"recurringPaymentId":"rp_1",'
        body += rest[1:length] + b"}"
        head = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % len(body) + body)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(FastServer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def payload(number: int) -> dict[str, object]:
    return {
        "amount": "19.90",
        "subscriptionName": f"[RB-{number:016d}] Gold",
        "subscriberFullName": "Anna Müller",
        "subscriberEmail": "anna@example.com",
        "currentPaymentStatus": "unpaid",
        "recurringDate": "2026-02-01T00:00:00.000Z",
        "recurringInterval": 30,
    }


class Bare:
    """`httpx.AsyncClient.post` and `response.json()`, one client a lane."""

    def __init__(self, base: str) -> None:
        self.url = f"{base}/create?businessName=Example"
        self.context = httpx.create_ssl_context()

    def lane(self) -> tuple[Create, Callable[[], Awaitable[None]]]:
        client = httpx.AsyncClient(limits=LIMITS, timeout=15, verify=self.context)

        async def create(number: int) -> None:
            response = await client.post(self.url, json=payload(number), headers=HEADERS)
            assert response.json()["recurringPaymentData"]["recurringPaymentId"]

        return create, client.aclose


class Transport(Bare):
    """`httpx.AsyncHTTPTransport` called directly: the least that httpx itself can do."""

    def lane(self) -> tuple[Create, Callable[[], Awaitable[None]]]:
        transport = httpx.AsyncHTTPTransport(limits=LIMITS, verify=self.context)

        async def create(number: int) -> None:
            request = httpx.Request("POST", self.url, headers=HEADERS, json=payload(number))
            response = await transport.handle_async_request(request)
            body = await response.aread()
            await response.aclose()
            assert json.loads(body)["recurringPaymentData"]["recurringPaymentId"]

        return create, transport.aclose


class Ours:
    """The gateway, with everything it does: deadline, proof, echo check, limits."""

    def __init__(self, base: str) -> None:
        self.gateway = MilestonGateway(
            Mileston(recurring_payment_url=base), "Example", lambda: KEYS, lambda: datetime.now(UTC)
        )

    def lane(self) -> tuple[Create, Callable[[], Awaitable[None]]]:
        async def create(number: int) -> None:
            request = PaymentRequest(
                f"RB-{number:016d}",
                "Gold",
                19_900_000,
                "Anna Müller",
                "anna@example.com",
                date(2026, 2, 1),
                30,
            )
            outcome = await self.gateway.create(request, datetime.now(UTC) + timedelta(seconds=60))
            assert outcome.kind is OutcomeKind.CREATED, outcome

        return create, self.gateway.close


async def measure(peer: Bare | Ours, lanes: int, creates: int) -> tuple[float, float]:
    """Creates/s and CPU seconds a create."""
    numbers: Iterator[int] = iter(range(creates))

    async def work() -> None:
        create, close = peer.lane()
        for number in numbers:
            await create(number)
        await close()

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(lanes)))
    return creates / (time.perf_counter() - wall), (time.process_time() - cpu) / creates


def main(lanes: int = 32, creates: int = 3000, rounds: int = 7) -> None:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        base = f"http://127.0.0.1:{int(server.stdout.readline())}/recurring-payment"
        peers = itertools.cycle((Bare, Transport, Ours))
        found: dict[str, list[tuple[float, float]]] = {}
        try:
            for turn in range(rounds * 4):  # four, not three: each round begins with another one
                peer = next(peers)
                if turn % 4 < 3:
                    found.setdefault(peer.__name__, []).append(
                        asyncio.run(measure(peer(base), lanes, creates))
                    )
        finally:
            server.kill()
    bare = statistics.median(rate for rate, _ in found["Bare"])
    print(f"{lanes} lanes, {creates} creates, median of {rounds} rounds")
    for name, figures in found.items():
        rate = statistics.median(rate for rate, _ in figures)
        cpu = statistics.median(cpu for _, cpu in figures) * 1e6
        print(f"{name:10} {rate:6.0f} creates/s {cpu:6.0f} µs CPU a create {rate / bare:5.2f} × bare")


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        asyncio.run(serve())
    else:
        main(*map(int, sys.argv[1:]))
