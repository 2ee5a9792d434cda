"""`billing status`, `doctor`, `explain`, `backup`, `config` and `database`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from billing.cli.shared import (
    ConfigOption,
    JsonOption,
    ReferenceArgument,
    parse_date,
    print_json,
    read_config,
    store,
)
from billing.cli.table import Column, print_table

if TYPE_CHECKING:
    from datetime import datetime

    from billing.app.status import LastRun, Need, Status
    from billing.config import Config

_config_app = typer.Typer(help="The configuration.", no_args_is_help=True)
_database_app = typer.Typer(help="The database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command("status")(status)
    app.command("doctor")(doctor)
    app.command("explain")(explain)
    app.command("backup")(backup)
    app.add_typer(_config_app, name="config")
    app.add_typer(_database_app, name="database")


@_config_app.command("show")
def show_config(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show every setting and where it came from; secrets are masked."""
    loaded = read_config(config)
    if json:
        print_json({key: {"value": value, "origin": origin} for key, value, origin in loaded.rows()})
        return
    rows = ((key, str(value), origin) for key, value, origin in loaded.rows())
    print_table((Column("key", "fixed"), Column("value"), Column("from")), rows, "")


def status(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show whether all is well (else the exit code is 1), what needs you, the last run, what is due next."""
    from billing.app.runtime import business_date, utc_now
    from billing.app.status import read_status

    with store(config) as (loaded, db), db.read() as tx:
        now = utc_now()
        today = business_date(loaded, now)
        found = read_status(tx, loaded.settings, today, now)
    if json:
        print_json(found.to_json())
    else:
        _show_status(found, loaded, now)
    raise typer.Exit(0 if found.healthy else 1)


def _show_status(found: Status, config: Config, now: datetime) -> None:
    from billing.core.plurals import plural

    if found.healthy and found.last_run and found.last_run["outcome"] == "unfinished":
        print("Nothing needs you. A run is under way, or was killed; the next one goes on where it ended.")
    elif found.healthy:
        print("All is well.")
    else:
        print("Something needs your attention:")
        _print_needs(found.needs, sys.stdout)
    print(f"\nLast run   {_last_run(found.last_run, config, now)}")
    print("\nComing up")
    for name, label in (("today", "today"), ("7_days", "in 7 days"), ("30_days", "in 30 days")):
        count, amount = found.upcoming[name]
        _print_payments(label, count, amount)
    print("\nSo far")
    for state, (count, amount) in sorted(found.payments.items()):
        _print_payments(state, count, amount)
    for one, counts in (("e-mail", found.notices), ("subscription", found.subscriptions)):
        for state, count in sorted(counts.items()):
            print(f"  {state:12} {count:>7} {plural(count, one)}")


def _print_payments(label: str, count: int, amount_micros: int) -> None:
    from billing.core.money import format_amount
    from billing.core.plurals import plural

    print(f"  {label:12} {count:>7} {plural(count, 'payment'):8} {format_amount(amount_micros):>18} USDC")


def _last_run(last: LastRun | None, config: Config, now: datetime) -> str:
    from datetime import datetime

    from billing.core.plurals import time_ago

    if last is None:
        return "none yet: start one with `billing run-once`"
    started = datetime.fromisoformat(last["started_at"]).astimezone(config.zone)
    counts = [
        f"{count} {name.replace('_', ' ')}" for name, count in (last["payments"] or {}).items() if count
    ]
    said = {"unfinished": "still running, or it was killed"}.get(last["outcome"], last["outcome"])
    at = f"{started:%Y-%m-%d %H:%M}"
    wrong = [f"stopped: {last['why']}"] if last["why"] else []
    wrong += [f"problem: {problem}" for problem in last["problems"]]
    ago = time_ago(started, now, config.zone)
    return "\n           ".join((f"{ago} ({at}), {said}: {', '.join(counts) or 'nothing was due'}", *wrong))


def show_needs(config: Config, out: TextIO) -> None:
    """What waits for a person, each with the command to type: the second half of what cron mails."""
    from billing.app.runtime import utc_now
    from billing.app.status import needs_now

    _print_needs(needs_now(config, utc_now()), out)


def _print_needs(needs: Sequence[Need], out: TextIO) -> None:
    for need in needs:
        print(f"  {need.what}", file=out)
        if need.detail:
            print(f"      {need.detail}", file=out)
        print(f"      $ {need.command}", file=out)


def doctor(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Check the installation; each line is ok, or says what to do."""
    import os
    from contextlib import suppress

    from billing.app.doctor import all_well, examine
    from billing.app.runtime import utc_now
    from billing.errors import ConfigError

    with suppress(ConfigError):  # the first line of the checks reports it
        read_config(config)  # sets up what keeps secrets out of libraries' warnings
    found = []
    for finding in examine(config, os.environ, utc_now()):
        found.append(finding)
        if not json:
            mark = {True: "ok", False: "FAULT", None: "–"}[finding.ok]
            print(f"{mark:6} {finding.check:14} {finding.found}")
            if finding.advice:
                print(f"{'':21} → {finding.advice}")
    well = all_well(found)
    if json:
        print_json({"ok": well, "checks": [finding.to_json() for finding in found]})
    else:
        print("\nAll is well." if well else "\nCorrect what is marked FAULT, starting at the top.")
    raise typer.Exit(0 if well else 1)


def explain(
    reference: ReferenceArgument,
    day: Annotated[str | None, typer.Argument(metavar="DATE", help="YYYY-MM-DD; default: today.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Explain why a subscription was or was not billed, reminded or dunned on a date."""
    from billing.app.explain import explain as reasons
    from billing.app.runtime import business_date, utc_now
    from billing.core.plurals import day_from

    date = parse_date(day) if day is not None else None
    with store(config) as (loaded, db), db.read() as tx:
        today = business_date(loaded, utc_now())
        found = reasons(tx, loaded, reference, date or today, today)
    if json:
        print_json(found.to_json())
        return
    print(f"{found.reference} on {found.day}, {day_from(found.day, today)} (times are in {found.zone})")
    topics = (
        ("Terms", found.terms),
        ("Billing", found.billing),
        ("Reminders", found.reminders),
        ("Dunning", found.dunning),
        ("Events of that day", found.log),
    )
    for title, sentences in topics:
        if sentences:
            print(f"\n{title}")
            for sentence in sentences:
                print(f"  {sentence}")


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file to write the copy to.")],
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
    json: JsonOption = False,
) -> None:
    """Copy the database while it is in use; once restored, the copy checks Mileston before it charges."""
    from billing.app.backup import back_up
    from billing.app.runtime import utc_now

    size = back_up(read_config(config), file, utc_now(), force=force)
    if json:
        print_json({"file": str(file.absolute()), "bytes": size})
    else:
        print(f"{file}: {size} bytes, verified. It contains personal data; keep it as safe as the database.")


@_database_app.command("mark-restored")
def mark_restored(config: ConfigOption = None) -> None:
    """Say that the database was restored from a backup: the next cycle checks Mileston before it charges."""
    from billing.app.backup import mark_restored_by_hand
    from billing.app.runtime import utc_now

    with store(config) as (_, db):
        mark_restored_by_hand(db, utc_now())
    print("marked as restored from a backup: the next cycle checks Mileston before it charges")


@_database_app.command("trust")
def trust(config: ConfigOption = None) -> None:
    """Say that nothing is missing in a database that may be a copy: the next cycle charges again."""
    from billing.app.backup import trust_by_hand
    from billing.app.runtime import utc_now

    with store(config) as (_, db):
        doubted = trust_by_hand(db, utc_now())
    print("the database is trusted: the next cycle charges again" if doubted else "nothing was doubted")
