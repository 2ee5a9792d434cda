"""The same with a pool: one shared AsyncClient, so many tasks, and a commit a payment."""

from __future__ import annotations

import asyncio

import httpx

from benchmarks.contestants.script import DONE, HEADERS, count_open, sqlite_records, url
from benchmarks.measure import measured, spec


async def main(api: str, count: int, in_flight: int, database: str) -> None:
    address = url(api)
    connection = sqlite_records(database, count)
    turn = asyncio.Semaphore(in_flight)

    async def create(client: httpx.AsyncClient, number: int, body: str) -> None:
        async with turn:
            response = await client.post(address, content=body, headers=HEADERS)
        response.raise_for_status()
        remote_id = response.json()["recurringPaymentData"]["recurringPaymentId"]
        connection.execute(DONE, (remote_id, number))
        connection.commit()

    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    with measured(count):
        async with httpx.AsyncClient(limits=limits, timeout=15) as client, asyncio.TaskGroup() as tasks:
            for number, body in connection.execute("SELECT id, body FROM payments").fetchall():
                tasks.create_task(create(client, number, body))
    assert count_open(connection) == count


if __name__ == "__main__":
    asyncio.run(main(**spec()))
