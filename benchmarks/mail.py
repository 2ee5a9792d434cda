"""Mail: rendering and building a notice, and delivering the outbox to a mail server nearby."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.create import cycle_settings
from benchmarks.databases import TODAY, settle_disk
from benchmarks.measure import Figures, interleave, middle, more, ratio, run
from benchmarks.servers import MailServer
from benchmarks.tables import Target, times

_RENDERED = 700
_DELIVERED = 3000
_CONNECTIONS = 4  # the program's default, mail.concurrency
_MICROS = 1e6


def measure(bench: Bench) -> None:
    _render(bench)
    with MailServer() as server:
        _deliver(bench, server)


def _render(bench: Bench) -> None:
    count = max(70, int(_RENDERED * bench.scale))
    rounds = interleave(bench.rounds, {"": lambda: run("rendering", count=count)}, bench.say)[""]
    bench.said()
    kinds = {kind: middle(rounds, more(kind)) * _MICROS for kind in rounds[0].more}
    mixed = kinds.pop("every kind in every language")
    typical = statistics.median(kinds.values())
    bench.page.table(
        f"Render and build a notice, {count} of each kind",
        ("", "CPU µs a notice"),
        [*kinds.items(), ("median of the kinds", typical), ("all kinds in all five languages, mean", mixed)],
    )
    bench.targets.append(
        Target("render and build a notice", "≤ 250 µs CPU", f"{typical:.0f} µs", typical <= 250)
    )


def _deliver(bench: Bench, server: MailServer) -> None:
    """The deliver step from queued notices to sent ones, and the same messages without all that."""
    count = max(200, int(_DELIVERED * bench.scale))
    prepared = _queued(bench, count)
    smtp = {"mail__transport": "smtp", "mail__smtp_host": "127.0.0.1", "mail__smtp_tls": "none"}
    smtp |= {"mail__smtp_port": str(server.port), "mail__concurrency": str(_CONNECTIONS)}

    def on_a_copy(contestant: str, **spec: object) -> Callable[[], Figures]:
        def run_one() -> Figures:
            path = bench.stock.path()
            shutil.copy(prepared, path)
            settle_disk()
            before = server.taken()
            settings = cycle_settings(bench, f"sqlite:///{path}", bench.api.url(), **smtp)
            figures = run(contestant, count=count, as_of=str(TODAY), settings=settings, **spec)
            assert server.taken() - before == count, "a message was lost, or sent twice"
            path.unlink()
            return figures

        return run_one

    bare, ours = "bare aiosmtplib, messages ready", "the deliver step, SQLite"
    found = interleave(
        bench.rounds,
        {
            bare: on_a_copy("bare_smtp", connections=_CONNECTIONS, port=server.port),
            ours: on_a_copy("ours", steps=["deliver"]),
        },
        bench.say,
    )
    bench.said()
    bench.page.table(
        f"Deliver {count} notices to a local mail server, {_CONNECTIONS} connections",
        ("", "notices/s", "of the limit", "CPU µs a notice", "peak MB"),
        (
            (
                name,
                middle(figures),
                times(ratio(figures, found[bare])),
                middle(figures, lambda f: f.cpu_micros),
                middle(figures, lambda f: f.peak_mb),
            )
            for name, figures in found.items()
        ),
    )
    share = ratio(found[ours], found[bare])
    bench.targets.append(
        Target("delivering, against a bare aiosmtplib loop", "≥ 0.8 ×", times(share), share >= 0.8)
    )


def _queued(bench: Bench, count: int) -> Path:
    """A database whose payments were all just made, each with its notice in the outbox."""
    path = bench.stock.path()
    with bench.stock.sqlite(count) as url:
        settings = cycle_settings(bench, url, bench.api.url())
        run("ours", count=count, steps=["plan", "submit"], as_of=str(TODAY), settings=settings)
        shutil.copy(url.removeprefix("sqlite:///"), path)
    return path
