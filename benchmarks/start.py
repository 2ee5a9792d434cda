"""What it costs to start: the help, and a cycle with nothing to do."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from benchmarks.bench import Bench
from benchmarks.create import cycle_settings
from benchmarks.databases import TODAY
from benchmarks.measure import interleave, middle, run_command
from benchmarks.tables import Target


def measure(bench: Bench) -> None:
    empty = bench.stock.folder / "empty.toml"
    empty.touch()
    idle = ("run-once", "--quiet", "--as-of", str(TODAY - timedelta(days=1)))
    with bench.stock.sqlite(1) as url:
        settings = cycle_settings(bench, url, bench.api.url())
        environ = {f"BILLING_{key.upper()}": value for key, value in settings.items()}
        environ |= {"BILLING_CONFIG": str(empty)}
        billing = partial(run_command, "-m", "billing", environ=environ)
        found = interleave(
            max(3, bench.rounds),
            {
                "python -c pass": lambda: run_command("-c", "pass"),
                "billing --help": lambda: billing("--help"),
                "billing status": lambda: billing("status"),
                "billing run-once, nothing due": lambda: billing(*idle),
            },
            bench.say,
        )
    bench.said()
    bench.page.table(
        "Start",
        ("", "CPU s", "wall s"),
        (
            (
                name,
                middle(figures, lambda f: f.cpu_seconds),
                middle(figures, lambda f: f.seconds),
            )
            for name, figures in found.items()
        ),
    )
    seconds = middle(found["billing --help"], lambda f: f.cpu_seconds)
    bench.targets.append(Target("billing --help", "≤ 0.35 s CPU", f"{seconds:.2f} s", seconds <= 0.35))
