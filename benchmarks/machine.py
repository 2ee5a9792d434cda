"""On what the figures were taken."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.tables import grouped
from billing.store.connection import wal_is_safe


def describe(folder: Path, postgresql: str | None) -> str:
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    mode = "WAL, synchronous FULL" if wal_is_safe() else "DELETE journal, synchronous EXTRA"
    lines = [
        f"{os.cpu_count()} cores ({_processor()}), load {load} at the start",
        f"Python {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version} ({mode})" + (f"; PostgreSQL {postgresql}" if postgresql else ""),
        f"httpx {version('httpx')}, SQLAlchemy {version('sqlalchemy')}, aiosmtplib {version('aiosmtplib')}, "
        f"Celery {version('celery')}, Procrastinate {version('procrastinate')}",
        f"the disk takes {grouped(_fsync_micros(folder))} µs to make 4 KiB durable",
    ]
    return "; ".join(lines) + "."


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def _fsync_micros(folder: Path) -> float:
    """The median of a few writes that are waited for; it bounds a commit a row."""
    took = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e6
