"""Celery on Redis, one task a payment: a worker as its documentation starts it, and who fills its queue."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg

from benchmarks.contestants.script import PG_OPEN, body, postgresql_records, url
from benchmarks.measure import measured, spec

_PATIENCE_SECONDS = 60


def main(api: str, count: int, warm_up: int, database: str, pool: str, in_flight: int | None = None) -> None:
    """Without `in_flight` the worker chooses its concurrency itself: one process a core.

    It has done `warm_up` other payments before: it runs for long, and is not new each time.
    """
    postgresql_records(database, count + warm_up)
    connection = psycopg.connect(database, autocommit=True)
    with _redis() as broker:
        os.environ |= {"BENCH_REDIS": broker, "BENCH_API": url(api), "BENCH_DATABASE": database}
        from benchmarks.contestants.celery_tasks import app, create_payment

        def work(numbers: range, expected: int) -> None:
            for number in numbers:
                create_payment.delay(number, body(number))
            while connection.execute(PG_OPEN).fetchone() != (expected,):
                time.sleep(0.02)

        with _worker(app, pool, in_flight) as processes:
            work(range(count, count + warm_up), warm_up)
            with measured(count) as figures:
                before = _cpu_seconds(processes())
                work(range(count), count + warm_up)
                figures.cpu_seconds = _cpu_seconds(processes()) - before
                figures.peak_mb = max(_peak_mb(process.pid) for process in processes())
    connection.close()


@contextmanager
def _redis() -> Iterator[str]:
    """A Redis server of our own with its usual settings; the address of it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for(lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


@contextmanager
def _worker(app: Any, pool: str, in_flight: int | None) -> Iterator[Any]:
    """A worker that is ready; yields what lists its processes."""
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.contestants.celery_tasks", "worker"]
    command += ["--pool", pool, "--loglevel", "ERROR"]
    command += ["--concurrency", str(in_flight)] if in_flight else []
    # Whose rights it runs with is no matter here; Celery warns of the superuser's.
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONWARNINGS": "ignore"}
    )
    try:
        _wait_for(lambda: app.control.ping(timeout=0.5))
        root = psutil.Process(process.pid)
        yield lambda: [root, *root.children(recursive=True)]
    finally:
        process.terminate()
        process.wait(_PATIENCE_SECONDS)


def _wait_for(condition: Any) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError("a server did not start in time")
        time.sleep(0.05)


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(each.user + each.system for each in times))


def _peak_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(**spec())
