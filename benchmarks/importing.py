"""Import: so many rows by the command line, into an empty database and once more unchanged."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.measure import Figures, interleave, middle, run_command
from benchmarks.tables import Target, grouped

_ROWS = 100_000
_INTERVALS = ("1 month", "30 days", "2 weeks", "1 year", "3 months")


def measure(bench: Bench) -> None:
    rows = max(1000, int(_ROWS * min(1, bench.scale)))
    file = bench.stock.folder / "subscriptions.csv"
    _write(file, rows)
    database = bench.stock.path()
    found = interleave(
        bench.rounds,
        {
            "into an empty database": partial(_import, bench, file, rows, database, fresh=True),
        },
        bench.say,
    )
    found["the same file again"] = [
        _import(bench, file, rows, database, fresh=False) for _ in range(bench.rounds)
    ]
    bench.said()
    bench.page.table(
        f"Import of {grouped(rows)} rows, the whole command, SQLite",
        ("", "CPU s", "wall s", "rows/s", "CPU µs a row"),
        (
            (
                name,
                middle(figures, lambda f: f.cpu_seconds),
                middle(figures, lambda f: f.seconds),
                middle(figures),
                middle(figures, lambda f: f.cpu_micros),
            )
            for name, figures in found.items()
        ),
    )
    seconds = middle(found["into an empty database"], lambda f: f.cpu_seconds) * _ROWS / rows
    scaled = "" if rows == _ROWS else f", from {rows} rows"
    bench.targets.append(
        Target("import of 100 000 rows", "≤ 6 s CPU", f"{seconds:.1f} s{scaled}", seconds <= 6)
    )


def _import(bench: Bench, file: Path, rows: int, database: Path, *, fresh: bool) -> Figures:
    if fresh:
        database.unlink(missing_ok=True)
    empty = bench.stock.folder / "empty.toml"
    empty.touch()
    environ = {"BILLING_CONFIG": str(empty), "BILLING_DATABASE__URL": f"sqlite:///{database}"}
    figures = run_command("-m", "billing", "subscriptions", "import", str(file), environ=environ)
    figures.count = rows
    return figures


def _write(file: Path, rows: int) -> None:
    """Names, prices, intervals and dates as a business has them: few prices, many dates."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("reference", "plan", "name", "email", "amount", "interval", "starts_on", "locale"))
        for number in range(rows):
            writer.writerow(
                (
                    f"customer-{number:06d}",
                    ("Gold plan", "Silver plan", "Zweierpaket")[number % 3],
                    f"Zoë Quillfeather {number}",
                    f"zoe.quillfeather.{number}@example.org",
                    f"{5 + number % 200}.90",
                    _INTERVALS[number % len(_INTERVALS)],
                    f"2026-{1 + number % 12:02d}-{1 + number % 28:02d}",
                    ("en", "de", "fr", "")[number % 4],
                )
            )
