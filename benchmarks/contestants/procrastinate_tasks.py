"""The Procrastinate application: one task creates one payment. A module of its own, as its guide has it.

What helps it: the payload travels with the job, the connections are those that its own queue uses, and
each task borrows an httpx client that no other uses meanwhile.
"""

from __future__ import annotations

import os

import httpx
import procrastinate

from benchmarks.contestants.script import HEADERS, PG_DONE

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_DATABASE"]))
_context = httpx.create_ssl_context()
_idle: list[httpx.AsyncClient] = []


@app.task(queue="payments")
async def create_payment(payment_id: int, body: str) -> None:
    client = _idle.pop() if _idle else httpx.AsyncClient(timeout=15, verify=_context)
    response = await client.post(os.environ["BENCH_API"], content=body, headers=HEADERS)
    _idle.append(client)
    response.raise_for_status()
    remote_id = response.json()["recurringPaymentData"]["recurringPaymentId"]
    await app.connector.execute_query_async(PG_DONE, remote_id=remote_id, payment_id=payment_id)
