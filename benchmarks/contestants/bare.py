"""The limit: httpx posting the same bytes, one client a lane, and no database at all."""

from __future__ import annotations

import asyncio

import httpx

from benchmarks.contestants.script import HEADERS, body, url
from benchmarks.measure import measured, spec


async def main(api: str, count: int, in_flight: int) -> None:
    address, context = url(api), httpx.create_ssl_context()
    bodies = [body(number).encode() for number in range(1, count + 1)]
    remote_ids: list[str] = []

    limits = httpx.Limits(max_connections=1)
    clients = [httpx.AsyncClient(limits=limits, timeout=15, verify=context) for _ in range(in_flight)]

    async def lane(client: httpx.AsyncClient) -> None:
        async with client:
            while bodies:
                response = await client.post(address, content=bodies.pop(), headers=HEADERS)
                remote_ids.append(response.json()["recurringPaymentData"]["recurringPaymentId"])

    with measured(count):
        await asyncio.gather(*map(lane, clients))
    assert len(set(remote_ids)) == count


if __name__ == "__main__":
    asyncio.run(main(**spec()))
