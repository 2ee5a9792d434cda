"""The Celery application: one task creates one payment. A module of its own, as its guide has it.

What helps it: the payload travels with the task, results are not kept, and each task borrows an httpx
client and a database connection that no other uses meanwhile.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import psycopg
from celery import Celery

from benchmarks.contestants.script import HEADERS, PG_DONE

app = Celery("benchmarks", broker=os.environ["BENCH_REDIS"])
app.conf.task_ignore_result = True

T = TypeVar("T")
_CONNECTIONS = 20
_clients: queue.LifoQueue[httpx.Client | None] = queue.LifoQueue()
_connections: queue.LifoQueue[psycopg.Connection[Any] | None] = queue.LifoQueue()
for _ in range(_CONNECTIONS):
    _connections.put(None)
for _ in range(1024):
    _clients.put(None)
_context = httpx.create_ssl_context()


@app.task
def create_payment(payment_id: int, body: str) -> None:
    with _borrowed(_clients, lambda: httpx.Client(timeout=15, verify=_context)) as client:
        response = client.post(os.environ["BENCH_API"], content=body.encode(), headers=HEADERS)
    response.raise_for_status()
    remote_id = response.json()["recurringPaymentData"]["recurringPaymentId"]
    database = os.environ["BENCH_DATABASE"]
    with _borrowed(_connections, lambda: psycopg.connect(database, autocommit=True)) as connection:
        connection.execute(PG_DONE, {"remote_id": remote_id, "payment_id": payment_id})


@contextmanager
def _borrowed(idle: queue.LifoQueue[T | None], make: Callable[[], T]) -> Iterator[T]:
    """One from the queue, where None stands for one yet to be made."""
    found = idle.get() or make()
    yield found
    idle.put(found)
