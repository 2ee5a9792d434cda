"""Creating payments: the whole durable cycle beside the limit, scripts, and task queues."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.bench import Bench
from benchmarks.databases import TODAY
from benchmarks.measure import Figures, begin, finish, interleave, middle, ratio, run, start
from benchmarks.tables import Target, grouped, times

SQLITE, POSTGRESQL = "the cycle, SQLite", "the cycle, PostgreSQL"
WORKERS = "the cycle, PostgreSQL, a worker a core"
BARE, NAIVE, POOL = "bare httpx, a client a lane (the limit)", "naive script", "script with one pool"
GEVENT, PREFORK = "Celery, gevent, as many in flight", "Celery, as it comes"
PROCRASTINATE, ONE_BY_ONE = "Procrastinate, as many in flight", "Procrastinate, as it comes"
STEPS = ("plan", "submit")
LATENCIES_MS = (0, 50, 200)
_SECONDS = 3.0
"""About how long a run should take; by this and a guess of its rate each gets its number of payments."""


@dataclass(frozen=True)
class Contestant:
    """`guess` is about how many payments/s it makes with an instant API, `lanes` how many at once."""

    name: str
    run: Callable[[str, int], Figures]
    guess: float
    lanes: int

    def count(self, latency_ms: int, scale: float) -> int:
        slowed = self.lanes / (latency_ms / 1000) if latency_ms else self.guess
        # Never so few that they all fit into the lanes at once.
        return max(20, int(min(self.guess, slowed) * _SECONDS * scale), 4 * self.lanes)


def measure(bench: Bench) -> None:
    rate, cpu = bench.api.capacity()
    bench.page.write(
        f"\nThe API's side alone, asked by next to nothing, answers {grouped(rate)} creates/s and takes "
        f"{cpu:.0f} µs CPU for each: what follows is not bound by it."
    )
    for latency_ms in LATENCIES_MS:
        found = _at(bench, latency_ms)
        _print(bench, latency_ms, found)
        _judge(bench, latency_ms, found)


def _at(bench: Bench, latency_ms: int) -> dict[str, list[Figures]]:
    api = bench.api.url(latency_ms)

    def run_one(contestant: Contestant) -> Figures:
        count = contestant.count(latency_ms, bench.scale)
        before = bench.api.creates()
        figures = contestant.run(api, count)
        posted = bench.api.creates() - before - figures.more.get("warm_up", 0)
        # Nobody is fast who posted less, or more, than was due.
        assert posted == count, f"{contestant.name} posted {posted} payments, not {count}"
        return figures

    chosen = _contestants(bench)
    return interleave(bench.rounds, {c.name: partial(run_one, c) for c in chosen}, bench.say)


def _contestants(bench: Bench) -> Iterator[Contestant]:
    lanes, cores = bench.in_flight, os.cpu_count() or 1
    sqlite, postgresql = partial(_on_sqlite, bench), partial(_on_postgresql, bench)
    procrastinate = partial(postgresql, "procrastinate_worker", warm_up=2 * lanes, in_flight=lanes)
    one_by_one = partial(postgresql, "procrastinate_worker", warm_up=8, in_flight=1)
    gevent = partial(postgresql, "celery_worker", warm_up=2 * lanes, pool="gevent", in_flight=lanes)
    prefork = partial(postgresql, "celery_worker", warm_up=8 * cores, pool="prefork")
    yield Contestant(BARE, partial(_without_database, "bare", in_flight=lanes), 1000, lanes)
    yield Contestant(SQLITE, partial(ours, bench, bench.stock.sqlite), 1000, lanes)
    yield Contestant(POSTGRESQL, partial(ours, bench, bench.stock.on_postgresql), 1000, lanes)
    if cores > 1:
        yield Contestant(WORKERS, partial(together, bench, cores, in_flight=-(-lanes // cores)), 1000, lanes)
    yield Contestant(NAIVE, partial(sqlite, "naive"), 200, 1)
    yield Contestant(POOL, partial(sqlite, "pool", in_flight=lanes), 200, lanes)
    yield Contestant(PROCRASTINATE, procrastinate, 200, lanes)
    yield Contestant(ONE_BY_ONE, one_by_one, 200, 1)
    if shutil.which("redis-server") is not None:
        yield Contestant(GEVENT, gevent, 200, lanes)
        yield Contestant(PREFORK, prefork, 200, cores)
    else:
        missing = "there is no redis-server here (Debian: apt-get install redis-server)"
        bench.page.write(f"\nNo rows for Celery: {missing}.")


def _without_database(contestant: str, api: str, count: int, **spec: object) -> Figures:
    return run(contestant, api=api, count=count, **spec)


def _on_sqlite(bench: Bench, contestant: str, api: str, count: int, **spec: object) -> Figures:
    path = bench.stock.path()
    figures = run(contestant, api=api, count=count, database=str(path), **spec)
    path.unlink()
    return figures


def _on_postgresql(bench: Bench, contestant: str, api: str, count: int, **spec: Any) -> Figures:
    with bench.stock.on_postgresql(0) as url:
        figures = run(contestant, api=api, count=count, database=url, **spec)
    figures.more["warm_up"] = spec["warm_up"]
    return figures


def ours(
    bench: Bench,
    prepared: Callable[[int], AbstractContextManager[str]],
    api: str,
    count: int,
) -> Figures:
    """The program's own cycle on a fresh database with so many due."""
    with prepared(count) as url:
        settings = cycle_settings(bench, url, api)
        return run("ours", count=count, steps=STEPS, as_of=str(TODAY), settings=settings)


def together(bench: Bench, workers: int, api: str, count: int, in_flight: int) -> Figures:
    """So many workers of the program, each with so many in flight, share what is due on PostgreSQL."""
    with bench.stock.on_postgresql(count) as url:
        settings = cycle_settings(bench, url, api, cycle__concurrency=str(in_flight))
        spec = {"count": count, "steps": STEPS, "as_of": str(TODAY), "settings": settings, "shared": True}
        processes = [start("ours", spec) for _ in range(workers)]
        began = time.perf_counter()
        for process in processes:
            begin(process)
        found = [finish(process) for process in processes]
    assert sum(figures.count for figures in found) == count, found
    ended = max(figures.more["ended_at"] for figures in found)
    cpu_seconds = sum(figures.cpu_seconds for figures in found)
    return Figures(count, ended - began, cpu_seconds, max(figures.peak_mb for figures in found))


def cycle_settings(bench: Bench, url: str, api: str, **settings: str) -> Mapping[str, str]:
    return {
        "database__url": url,
        "mileston__recurring_payment_url": api,
        "cycle__concurrency": str(bench.in_flight),
        "cycle__max_payments_per_run": "1000000",
        "cycle__max_amount_per_run": '"900000000.00"',
        **settings,
    }


def _print(bench: Bench, latency_ms: int, found: Mapping[str, list[Figures]]) -> None:
    bare = found[BARE]
    bench.page.table(
        f"Create, API latency {latency_ms} ms, {bench.in_flight} in flight",
        (
            "",
            "payments/s",
            "of the limit",
            "cycle is faster by",
            "CPU µs a payment",
            "peak MB",
            "payments",
        ),
        (
            (
                name,
                middle(figures),
                times(ratio(figures, bare)),
                times(ratio(found[SQLITE], figures)),
                middle(figures, lambda f: f.cpu_micros),
                middle(figures, lambda f: f.peak_mb),
                grouped(figures[0].count),
            )
            for name, figures in found.items()
        ),
    )


def _judge(bench: Bench, latency_ms: int, found: Mapping[str, list[Figures]]) -> None:
    if latency_ms == 0:
        for name in (SQLITE, POSTGRESQL):
            share = ratio(found[name], found[BARE])
            by_cpu = ratio(found[BARE], found[name], lambda f: f.cpu_micros)
            bench.targets.append(
                Target(
                    f"{name}, against the bare client, instant API",
                    "≥ 0.80 ×",
                    f"{times(share)} (by CPU {times(by_cpu)})",
                    share >= 0.8,
                )
            )
    if latency_ms == 50:
        faster = ratio(found[SQLITE], found[NAIVE])
        bench.targets.append(
            Target("the cycle against the naive script, 50 ms", "≥ 60 ×", times(faster), faster >= 60)
        )
    # One process against one, and where Celery takes every core, so does the program.
    for name, like in (
        (ONE_BY_ONE, POSTGRESQL),
        (PREFORK, WORKERS),
        (PROCRASTINATE, POSTGRESQL),
        (GEVENT, POSTGRESQL),
    ):
        if name in found:
            like = like if like in found else POSTGRESQL
            faster = ratio(found[like], found[name])
            what = f"{like}, against {name}, {latency_ms} ms"
            bench.targets.append(Target(what, "≥ 8 ×", times(faster), faster >= 8))
