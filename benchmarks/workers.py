"""Several workers on one PostgreSQL database: do they add up?"""

from __future__ import annotations

import os
from functools import partial

from benchmarks.bench import Bench
from benchmarks.create import together
from benchmarks.measure import interleave, middle, ratio
from benchmarks.tables import Target, times

_LATENCY_MS = 50
_SECONDS = 6.0


def measure(bench: Bench) -> None:
    # So few that four workers' creates do not fill the processors: locks are in question, not cores.
    in_flight = min(16, 4 * (os.cpu_count() or 1))
    # Each has as much to do as one alone has.
    each = int(in_flight / (_LATENCY_MS / 1000) * _SECONDS * min(1, bench.scale))
    runs = {
        f"{workers}": partial(together, bench, workers, bench.api.url(_LATENCY_MS), each * workers, in_flight)
        for workers in (1, 2, 4)
    }
    found = interleave(bench.rounds, runs, bench.say)
    bench.said()
    one = found["1"]
    most = in_flight / (_LATENCY_MS / 1000)
    bench.page.table(
        f"Workers on one PostgreSQL database, {in_flight} in flight each, API latency {_LATENCY_MS} ms",
        ("workers", "payments/s", "against one", "of what the latency allows", "CPU µs a payment"),
        (
            (
                name,
                middle(figures),
                times(ratio(figures, one)),
                f"{middle(figures) / most / int(name):.0%}",
                middle(figures, lambda f: f.cpu_micros),
            )
            for name, figures in found.items()
        ),
    )
    gain = ratio(found["4"], one)
    bench.targets.append(
        Target("four workers on PostgreSQL against one, 50 ms", "≥ 3.5 ×", times(gain), gain >= 3.5)
    )
