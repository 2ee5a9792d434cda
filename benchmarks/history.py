"""What years of history cost: ordinary cycles beside a list that grows, and a list of 300,000 records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.create import cycle_settings
from benchmarks.databases import TODAY, settle_disk
from benchmarks.histories import fill_history, write_list
from benchmarks.measure import Figures, interleave, middle, ratio, run
from benchmarks.tables import Target, grouped, times

_SUBSCRIPTIONS, _DUE, _MONTHS = 10_000, 330, (1, 60)
_RECORDS, _OPEN, _LOST = 300_000, 3000, 10
ORDINARY = ("recover", "observe", "reconcile", "plan", "look_back", "submit", "settle", "remind")
LOOKING = ("recover", "observe", "reconcile", "settle")


def measure(bench: Bench) -> None:
    _ordinary(bench)
    _long_list(bench)


def _ordinary(bench: Bench) -> None:
    """A cycle without unknowns, after a month and after five years."""
    subscriptions = int(_SUBSCRIPTIONS * min(1, bench.scale))
    due = max(20, int(_DUE * min(1, bench.scale)))
    runs = {}
    for months in _MONTHS:
        bench.say(f"making {months} months of {subscriptions} subscriptions")
        path = bench.stock.path()
        url = f"sqlite:///{path}"
        fill_history(url, subscriptions, due, months, unpaid=due)
        listed = write_list(url, path.with_suffix(".json"), paid_since=True)
        settle_disk()
        days = iter(range(2 * bench.rounds))
        for first in (0, 20_000):
            name = f"{months} months, {grouped(listed)} records, look_first_up_to = {grouped(first)}"
            runs[name] = partial(_cycle, bench, path, due, days, first)
    found = interleave(bench.rounds, runs, bench.say)
    bench.said()
    names = list(found)
    before = {names[2]: names[0], names[3]: names[1]}
    bench.page.table(
        f"History: {due} due among {grouped(subscriptions)}, those of the day before paid since; SQLite",
        ("history", "cycle s", "against a month", "CPU s", "peak MB", "memory against a month"),
        (
            (
                name,
                middle(figures, lambda f: f.seconds),
                _against(found, name, before, lambda f: f.seconds),
                middle(figures, lambda f: f.cpu_seconds),
                middle(figures, lambda f: f.peak_mb),
                _against(found, name, before, lambda f: f.peak_mb),
            )
            for name, figures in found.items()
        ),
    )
    for later, earlier in before.items():
        seconds = ratio(found[later], found[earlier], lambda f: f.seconds)
        memory = ratio(found[later], found[earlier], lambda f: f.peak_mb)
        setting = later.rpartition(", ")[2]
        bench.targets.append(
            Target(
                f"a cycle after 60 months against one after 1 month, {setting}",
                "≤ 1.15 × in time and memory",
                f"{times(seconds)}, {times(memory)}",
                seconds <= 1.15 and memory <= 1.15,
            )
        )


def _against(
    found: dict[str, list[Figures]], name: str, before: dict[str, str], value: Callable[[Figures], float]
) -> str:
    return times(ratio(found[name], found[before[name]], value)) if name in before else ""


def _cycle(bench: Bench, path: Path, due: int, days: Iterator[int], first: int) -> Figures:
    settings = cycle_settings(bench, f"sqlite:///{path}", bench.api.listing_url(path.with_suffix(".json")))
    settings = {**settings, "reconcile__look_first_up_to": str(first), "mileston__renewal": "keep"}
    day = TODAY + timedelta(days=next(days))
    return run("ours", count=due, steps=ORDINARY, as_of=str(day), settings=settings)


def _long_list(bench: Bench) -> None:
    """One reading that has to look for lost creates among very many records."""
    records = int(_RECORDS * min(1, bench.scale))
    bench.say(f"making {records} records")
    path = bench.stock.path()
    url = f"sqlite:///{path}"
    fill_history(url, records // 60, max(20, records // 60 // 30), 60, unpaid=_OPEN, lost=_LOST)
    file = path.with_suffix(".json")
    listed = write_list(url, file)
    settle_disk()
    settings = cycle_settings(bench, url, bench.api.listing_url(file))
    figures = run("ours", count=0, steps=LOOKING, as_of=str(TODAY), settings=settings)
    size = file.stat().st_size / 1e6
    seconds = figures.more["observe"]
    bench.page.table(
        f"A list of {grouped(listed)} records ({size:.0f} MB), read for {_LOST} lost creates; SQLite",
        ("records", "observe s", "records/s", "reconcile s", "settle s", "CPU s", "peak MB"),
        [
            (
                grouped(listed),
                seconds,
                listed / seconds,
                figures.more["reconcile"],
                figures.more["settle"],
                figures.cpu_seconds,
                figures.peak_mb,
            )
        ],
    )
    bench.targets.append(
        Target(
            f"memory with a list of {grouped(listed)}",
            "≤ 250 MB",
            f"{figures.peak_mb:.0f} MB",
            figures.peak_mb <= 250,
        )
    )
    bench.targets.append(
        Target("CPU of that cycle", "≤ 10 s", f"{figures.cpu_seconds:.1f} s", figures.cpu_seconds <= 10)
    )
