"""How cost grows: with subscriptions of which as many are due as ever, and with what is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from benchmarks.bench import Bench
from benchmarks.create import cycle_settings
from benchmarks.databases import TODAY, fill, settle_disk
from benchmarks.measure import Figures, interleave, middle, more, ratio, run
from benchmarks.tables import Target, grouped, times

STEPS = ("plan", "submit", "remind")
_DUE = 1000
_SIZES = (10_000, 100_000, 1_000_000)
_LOADS = (1_000, 10_000, 100_000)


def measure(bench: Bench) -> None:
    _with_subscriptions(bench)
    _with_due(bench)


def _with_subscriptions(bench: Bench) -> None:
    """The same 1,000 due among more and more subscriptions."""
    sizes = [int(size * min(1, bench.scale)) for size in _SIZES]
    due = int(_DUE * min(1, bench.scale))
    runs = {grouped(size): _rounds_on(bench, size, due) for size in sizes}
    found = interleave(bench.rounds, runs, bench.say)
    bench.said()
    smallest, largest = next(iter(found)), list(found)[-1]
    bench.page.table(
        f"Growth: {due} due among ever more subscriptions, each with a paid payment behind it; SQLite",
        (
            "subscriptions",
            "cycle s",
            "against the fewest",
            "plan s",
            "submit s",
            "remind s",
            "CPU s",
            "peak MB",
        ),
        (
            (
                name,
                middle(figures, lambda f: f.seconds),
                times(ratio(figures, found[smallest], lambda f: f.seconds)),
                *(middle(figures, more(step)) for step in STEPS),
                middle(figures, lambda f: f.cpu_seconds),
                middle(figures, lambda f: f.peak_mb),
            )
            for name, figures in found.items()
        ),
    )
    grown = ratio(found[largest], found[smallest], lambda f: f.seconds)
    by_cpu = ratio(found[largest], found[smallest], lambda f: f.cpu_seconds)
    bench.targets.append(
        Target(
            f"{due} due among {largest}, against among {smallest}",
            "≤ 1.15 × the time",
            f"{times(grown)} (by CPU {times(by_cpu)})",
            grown <= 1.15,
        )
    )


def _rounds_on(bench: Bench, size: int, due: int) -> Callable[[], Figures]:
    """A run on the next day of a database where so many are due on each of the coming days."""
    bench.say(f"making {size} subscriptions")
    path = bench.stock.path()
    soon = [TODAY + timedelta(days=day) for day in range(bench.rounds)]
    others = size // due - len(soon)
    later = [TODAY + timedelta(days=60 + number % 300) for number in range(others)]
    fill(f"sqlite:///{path}", [*soon, *later], due, history=True)
    settle_disk()
    days = iter(soon)

    def run_one() -> Figures:
        settings = cycle_settings(bench, f"sqlite:///{path}", bench.api.url())
        return run("ours", count=due, steps=STEPS, as_of=str(next(days)), settings=settings)

    return run_one


def _with_due(bench: Bench) -> None:
    """More and more due: time must grow in step, and memory not at all."""
    loads = [max(200, int(load * bench.scale)) for load in _LOADS]
    runs = {grouped(load): partial(_once, bench, load) for load in loads}
    found = interleave(1, runs, bench.say)
    bench.said()
    first, middle_one, last = found
    bench.page.table(
        "Growth: ever more due; SQLite, instant API, one round",
        ("due", "cycle s", "µs a payment", "CPU µs a payment", "peak MB"),
        (
            (
                name,
                figures[0].seconds,
                figures[0].seconds / figures[0].count * 1e6,
                figures[0].cpu_micros,
                figures[0].peak_mb,
            )
            for name, figures in found.items()
        ),
    )
    peak, before = found[last][0].peak_mb, found[middle_one][0].peak_mb
    bench.targets.append(Target(f"peak memory with {last} due", "≤ 120 MB", f"{peak:.0f} MB", peak <= 120))
    bench.targets.append(
        Target(
            f"the same as with {middle_one} due",
            "within 5 %",
            f"{before:.0f} MB, {peak / before - 1:+.1%}",
            peak <= before * 1.05,
        )
    )
    linear = found[last][0].cpu_micros / found[first][0].cpu_micros
    bench.targets.append(
        Target(
            f"CPU a payment with {last} due, against {first}",
            "linear: ≤ 1.15 ×",
            times(linear),
            linear <= 1.15,
        )
    )


def _once(bench: Bench, due: int) -> Figures:
    with bench.stock.sqlite(due) as url:
        settings = cycle_settings(bench, url, bench.api.url())
        return run("ours", count=due, steps=STEPS, as_of=str(TODAY), settings=settings)
