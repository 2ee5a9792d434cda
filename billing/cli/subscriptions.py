"""`billing subscriptions`: import, list, show, pause, resume, cancel; `agreements` adds the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from billing.cli.shared import (
    ConfigOption,
    JsonOption,
    ReasonOption,
    ReferenceArgument,
    one_of,
    parse_date,
    print_json,
    print_json_array,
    say,
    store,
)
from billing.cli.table import columns_of, print_table

app = typer.Typer(help="Subscriptions: import, show, pause, resume and cancel them.", no_args_is_help=True)


_MOST_TOLD = 50
"""So many changes and so many warnings of an import are shown on screen."""


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="UTF-8 CSV with a header line.")],
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file; change nothing.")] = False,
    allow_similar: Annotated[
        bool, typer.Option("--allow-similar", help="Import new rows that look like known subscriptions.")
    ] = False,
    allow_overlap: Annotated[
        bool,
        typer.Option("--allow-overlap", help="Let a new bill_from charge days that are charged already."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Add or update subscriptions by reference: the whole file, or none of it."""
    from billing.app.decisions import actor
    from billing.app.importing import Permissions, import_csv
    from billing.app.runtime import utc_now
    from billing.core.plurals import counted
    from billing.errors import ImportRejected, UsageError

    try:
        opened = file.open("rb")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    with opened, store(config) as (loaded, db):
        try:
            allow = Permissions(allow_similar, allow_overlap)
            result = import_csv(db, opened, loaded.settings, utc_now(), actor(), dry_run=dry_run, allow=allow)
        except ImportRejected as error:
            if json:
                print_json({"added": 0, "updated": 0, "unchanged": 0, "faults": list(error.faults)})
            else:
                count = counted(len(error.faults), "fault")
                say(f"{file}: nothing was imported; {count} found:\n{error}")
            raise typer.Exit(error.exit_code) from None
    counts = {"added": result.added, "updated": result.updated, "unchanged": result.unchanged}
    if json:
        told = {"changes": result.changes, "warnings": result.warnings}
        print_json({**counts, "dry_run": dry_run, "faults": [], **told})
    else:
        for line in (*result.changes[:_MOST_TOLD], *result.warnings[:_MOST_TOLD]):
            print(line)
        more = max(0, len(result.changes) - _MOST_TOLD) + max(0, len(result.warnings) - _MOST_TOLD)
        if more:
            print(f"… and {more} more; --json has them all")
        would = "would be " if dry_run else ""
        print(", ".join(f"{count} {would}{what}" for what, count in counts.items()))


@app.command("list")
def list_all(
    config: ConfigOption = None,
    state: Annotated[
        str | None, typer.Option(metavar="S", help="Only active, paused, cancelled or ended ones.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only those whose next payment is due then or later.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """All subscriptions, by reference."""
    from billing.app.documents import subscriptions_listed
    from billing.core.states import SubscriptionStatus

    wanted = one_of(SubscriptionStatus, state, "status of a subscription")
    day = parse_date(since) if since is not None else None
    with store(config) as (_, db):
        documents = subscriptions_listed(db, wanted, since=day)
        if json:
            print_json_array(documents)
            return
        columns = columns_of(
            reference="text",
            plan="text",
            amount="number",
            interval="fixed",
            status="state",
            next_due_on="fixed",
        )
        cells = ([str(doc[column.name] or "–") for column in columns] for doc in documents)
        narrowed = wanted is not None or day is not None
        none_yet = "no subscriptions yet; add some with `billing subscriptions import FILE.csv`"
        print_table(columns, cells, "no such subscriptions" if narrowed else none_yet)


@app.command()
def show(reference: ReferenceArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """One subscription with its payments and notices."""
    from billing.app.documents import subscription_shown

    with store(config) as (_, db):
        whole = subscription_shown(db, reference)
    if json:
        print_json(whole)
        return
    for key, value in whole.items():
        if not isinstance(value, list):
            print(f"{key:15} {value if value is not None else '–'}")
    print("\nPayments")
    columns = columns_of(id="number", due_on="fixed", amount="number", state="state", remote_id="fixed")
    print_table(columns, ([str(p[c.name] or "–") for c in columns] for p in whole["payments"]), "none yet")
    print("\nNotices")
    columns = columns_of(id="number", kind="fixed", due_on="fixed", state="state", subject="text")
    print_table(columns, ([str(n[c.name] or "–") for c in columns] for n in whole["notices"]), "none yet")


@app.command()
def pause(
    reference: ReferenceArgument,
    config: ConfigOption = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="The day on which it goes on by itself.")
    ] = None,
    reason: ReasonOption = "",
) -> None:
    """Stop billing until resumed, or until a day; paused time is not billed."""
    from billing.app import decisions
    from billing.app.runtime import business_date, utc_now
    from billing.errors import UsageError

    day = parse_date(until) if until is not None else None
    with store(config) as (loaded, db):
        now = utc_now()
        today = business_date(loaded, now)
        if day is not None and day <= today:
            raise UsageError(f"--until {day}: that day has come already; today is {today}")
        decisions.pause(db, reference, now, reason, day)
    print(f"{reference} is paused until {day or 'you resume it'}")


@app.command()
def resume(reference: ReferenceArgument, config: ConfigOption = None, reason: ReasonOption = "") -> None:
    """Start billing again, on the same days as before."""
    from billing.app import decisions
    from billing.app.runtime import business_date, utc_now

    with store(config) as (loaded, db):
        now = utc_now()
        today = business_date(loaded, now)
        due = decisions.resume(db, reference, now, today, loaded.settings, reason)
    print(f"{reference} is active again; its next payment is due on {due}")


@app.command()
def cancel(
    reference: ReferenceArgument,
    config: ConfigOption = None,
    at_period_end: Annotated[
        bool, typer.Option("--at-period-end", help="End it when the current period ends, not today.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take back a cancellation at a period's end that is still to come.")
    ] = False,
    reason: ReasonOption = "",
) -> None:
    """End a subscription, or take its end back."""
    from billing.app import decisions
    from billing.app.runtime import business_date, utc_now

    if undo and at_period_end:
        raise typer.BadParameter("--undo takes a cancellation back; it can't come with --at-period-end")
    with store(config) as (loaded, db):
        now = utc_now()
        if undo:
            due = decisions.undo_cancellation(db, reference, now, loaded.settings, reason)
            print(
                f"{reference} goes on; "
                + (f"its next payment is due on {due}" if due else "no period is left")
            )
            return
        last = decisions.cancel(db, reference, now, business_date(loaded, now), reason, at_period_end)
    print(f"{reference} is cancelled; its last day is {last}")
