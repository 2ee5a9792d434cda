"""`billing run-once`, `reconcile` and what they show."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from billing.cli.shared import ConfigOption, JsonOption, parse_date, print_json, read_config, say
from billing.cli.system import show_needs
from billing.cli.table import columns_of, print_table

if TYPE_CHECKING:
    from billing.config import Config
    from billing.cycle.report import Report


def register(app: typer.Typer) -> None:
    app.command("run-once")(run_once)
    app.command("reconcile")(reconcile)


def run_once(
    config: ConfigOption = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="DATE", help="Bill as if it were this day (YYYY-MM-DD).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be created and mailed; change nothing.")
    ] = False,
    json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing when all is well; for cron.")] = False,
) -> None:
    """Run one billing cycle: charge what is due, find out what was paid, send the e-mails."""
    from billing.app.cron_run import watched_run
    from billing.app.runtime import Hooks
    from billing.errors import AlreadyRunning

    day = parse_date(as_of) if as_of is not None else None
    loaded = read_config(config)
    if dry_run:
        _dry_run(loaded, day, json)
        return
    if quiet:
        time.sleep(random.uniform(0, loaded.settings.watch.jitter_seconds))
    try:
        with _progress(show=not (json or quiet)) as progress:
            report = asyncio.run(_with_signals(lambda stop: watched_run(loaded, day, Hooks(progress, stop))))
    except AlreadyRunning as error:
        if quiet:  # the other run does the work: nothing for cron to mail about
            raise typer.Exit(error.exit_code) from None
        raise
    if json:
        print_json(report.to_json())
    elif not (quiet and report.outcome == "ok"):
        show_report(report, loaded, sys.stderr if quiet else sys.stdout)
    if quiet and report.outcome != "ok":
        show_needs(loaded, sys.stderr)
    raise typer.Exit(0 if report.outcome == "ok" else 1)


async def _with_signals(run: Callable[[Callable[[], bool]], Awaitable[Report]]) -> Report:
    """The first SIGINT or SIGTERM lets the cycle finish what is in flight; the second ends it at once."""
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if stopping:
            os._exit(130)  # what is in flight is found by the next cycle's reconciliation
        stopping = True
        say("finishing the requests in flight; press Ctrl-C again to stop at once")

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return await run(lambda: stopping)


@contextmanager
def _progress(show: bool) -> Iterator[Callable[[str, int, int], None]]:
    if not (show and sys.stderr.isatty()):
        yield lambda _step, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(step: str, done: int, total: int) -> None:
            if total:
                if step not in tasks:
                    tasks[step] = bars.add_task(step, total=total)
                bars.update(tasks[step], completed=done, total=total)

        yield advance


_HELD = "held (safety limit, catch-up or paused): `billing payments list --state held` shows why"
_LABELS = (
    # count, what one of them is called, what several are called
    ("due", "payment to create at Mileston", "payments to create at Mileston"),
    ("created", "created", "created"),
    (
        "adopted",
        "found at Mileston after its answer was lost",
        "found at Mileston after their answers were lost",
    ),
    ("not_sent", "not sent; the next run sends it", "not sent; the next run sends them"),
    (
        "rejected",
        "rejected by Mileston: correct the data, then release it",
        "rejected by Mileston: correct the data, then release them",
    ),
    (
        "unknown",
        "may or may not exist at Mileston; the next runs look it up",
        "may or may not exist at Mileston; the next runs look them up",
    ),
    ("held", _HELD, _HELD),
)


def show_report(report: Report, config: Config, out: TextIO) -> None:
    """Print the run for a person."""
    from billing.core.plurals import counted, plural

    document = report.to_json()
    print(f"Run {report.run_id} for {report.as_of}: {report.outcome}", file=out)
    for key, one, many in _LABELS:
        count = document["payments"][key]
        if count or key in ("due", "created"):
            amount = f"  ({document['amount_created']} USDC)" if key == "created" and count else ""
            print(f"  {count:>7}  {plural(count, one, many)}{amount}", file=out)
    settled = document["settlement"]
    if settled["checked"]:
        checked = settled["checked"]
        what = plural(checked, "open payment")
        print(f"  {checked:>7}  {what} checked at Mileston, {settled['paid']} of them paid", file=out)
    mail = document["notices"]
    if any(mail.values()):
        print(
            f"  {mail['sent']:>7}  {plural(mail['sent'], 'e-mail')} sent"
            + (f", {mail['failed']} failed" if mail["failed"] else "")
            + (f", {mail['held']} waiting to be sent" if mail["held"] else ""),
            file=out,
        )
    if mail["sent"] and config.settings.mail.transport == "file":
        print(f"The e-mails are in {config.resolve(config.settings.mail.outbox_dir)}", file=out)
    for problem in document["problems"]:
        print(f"Problem: {problem}", file=out)
    if report.stopped:
        print(f"Stopped: {report.stopped}", file=out)
    payments, mails = report.needs_a_person, report.mail_needs_a_person
    waiting = [counted(count, one) for count, one in ((payments, "payment"), (mails, "e-mail")) if count]
    if waiting:
        verb = plural(payments + mails, "needs", "need")
        print(f"{' and '.join(waiting)} {verb} your decision: `billing status` shows which", file=out)


def _dry_run(config: Config, as_of: date | None, json: bool) -> None:
    from billing.app.dry_run import would_create, would_mail
    from billing.app.runtime import business_date, look_only, utc_now
    from billing.core.money import format_amount
    from billing.core.plurals import counted

    today = as_of or business_date(config, utc_now())
    with look_only(config, today) as tx:
        creates = list(would_create(tx, config.settings, today))
        mails = list(would_mail(tx, config.settings, today))
    total = sum(create.amount_micros for create in creates if not create.held)
    held = sum(create.held for create in creates)
    if json:
        counts = dict.fromkeys(("created", "adopted", "rejected", "unknown"), 0)
        print_json(
            {
                "run_id": None,
                "as_of": today.isoformat(),
                "outcome": "ok",
                "dry_run": True,
                "payments": {"due": len(creates), **counts, "not_sent": len(creates) - held, "held": held},
                "settlement": {"checked": 0, "paid": 0},
                "notices": {"queued": len(mails), "sent": 0, "failed": 0, "held": 0},
                "amount_created": "0.00",
                "seconds": 0.0,
                "would_create": [create.to_json() for create in creates],
                "would_mail": [mail.to_json() for mail in mails],
            }
        )
        return
    charged = f"{counted(len(creates) - held, 'payment')}, {format_amount(total)} USDC"
    print(f"A run for {today} would create {charged}{f', and hold {held} (catch-up)' if held else ''}:")
    print_table(
        columns_of(subscription="text", due="fixed", amount="number", note="fixed"),
        (
            (
                c.subscription,
                str(c.due_on),
                format_amount(c.amount_micros),
                "held (catch-up)" if c.held else "",
            )
            for c in creates
        ),
        "nothing is due",
    )
    print(f"and send {counted(len(mails), 'e-mail')}:")
    print_table(
        columns_of(kind="fixed", subscription="text", due="fixed"),
        ((m.kind.value, m.subscription, str(m.due_on)) for m in mails),
        "no e-mail",
    )
    print("Nothing was changed.")


def reconcile(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Look up every payment with an unknown outcome at Mileston, and do nothing else."""
    from billing.app.runtime import RECONCILE_STEPS, Hooks
    from billing.app.runtime import run_once as cycle

    loaded = read_config(config)
    report = asyncio.run(
        _with_signals(lambda stop: cycle(loaded, None, Hooks(stopping=stop), RECONCILE_STEPS))
    )
    if json:
        print_json(report.to_json())
    else:
        show_report(report, loaded, sys.stdout)
    raise typer.Exit(0 if report.outcome == "ok" else 1)
