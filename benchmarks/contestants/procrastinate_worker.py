"""Procrastinate on PostgreSQL, one task a payment: jobs are deferred in one batch, a worker does them."""

from __future__ import annotations

import asyncio
import os

import psycopg

from benchmarks.contestants.script import PG_OPEN, body, postgresql_records, url
from benchmarks.measure import measured, spec


async def main(api: str, count: int, warm_up: int, in_flight: int, database: str) -> None:
    """The worker has done `warm_up` other payments before: it runs for long, and is not new each time."""
    os.environ |= {"BENCH_API": url(api), "BENCH_DATABASE": database}
    from benchmarks.contestants.procrastinate_tasks import app, create_payment

    postgresql_records(database, count + warm_up)

    async def work(numbers: range) -> None:
        await create_payment.batch_defer_async(*({"payment_id": n, "body": body(n)} for n in numbers))
        await app.run_worker_async(
            queues=["payments"], concurrency=in_flight, wait=False, install_signal_handlers=False
        )

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await work(range(count, count + warm_up))
        with measured(count):
            await work(range(count))
    with psycopg.connect(database) as connection:
        assert connection.execute(PG_OPEN).fetchone() == (count + warm_up,)


if __name__ == "__main__":
    asyncio.run(main(**spec()))
