"""`billing payments`: list, show, release, resolve, void."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.shared import (
    ConfigOption,
    JsonOption,
    SubscriptionOption,
    one_of,
    parse_date,
    print_json,
    print_json_array,
    store,
)
from billing.cli.table import columns_of, print_table
from billing.core.causes import HeldCause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from billing.app.runtime import Database
    from billing.config import Config
    from billing.cycle.context import Gateway

app = typer.Typer(help="Payments: list them, and decide about those that wait for you.", no_args_is_help=True)

_SHOWN = 20
"""So many of the released payments are named."""
IdArgument = Annotated[int, typer.Argument(metavar="ID", help="The payment's id.")]
GivenReason = Annotated[str, typer.Option("--reason", help="Why; stored in the event log.")]


CauseOption = Annotated[
    HeldCause | None, typer.Option("--cause", help="Only those that are held for this kind of cause.")
]


@app.command("list")
def list_all(
    config: ConfigOption = None,
    state: Annotated[str | None, typer.Option(metavar="S", help="Only payments in this state.")] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Only payments flagged for a person to check.")
    ] = False,
    cause: CauseOption = None,
    subscription: SubscriptionOption = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only those due on this day or later.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Payments by due date."""
    from billing.app.documents import payments_listed
    from billing.core.states import PaymentState

    wanted = one_of(PaymentState, state, "state of a payment")
    if cause is not None and wanted not in (None, PaymentState.HELD):
        raise typer.BadParameter("--cause is of held payments")
    day = parse_date(since) if since is not None else None
    with store(config) as (_, db):
        documents = payments_listed(db, wanted, attention, cause=cause, reference=subscription, since=day)
        if json:
            print_json_array(documents)
        else:
            _print_payments(documents, "no such payments")


def _print_payments(documents: Iterable[dict[str, Any]], empty: str) -> None:
    columns = columns_of(
        id="number", subscription="text", due_on="fixed", amount="number", state="state", cause="text"
    )
    rows = (
        [str({**doc, "cause": doc["attention"] or doc["cause"]}[column.name]) for column in columns]
        for doc in documents
    )
    print_table(columns, rows, empty)


@app.command()
def show(payment_id: IdArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """One payment with its attempts and its history."""
    from billing.app.documents import payment_shown
    from billing.app.runtime import business_date, utc_now
    from billing.core.plurals import day_from

    with store(config) as (loaded, db):
        whole = payment_shown(db, payment_id)
        today = business_date(loaded, utc_now())
    if json:
        print_json(whole)
        return
    when = {"due_on": f" ({day_from(date.fromisoformat(whole['due_on']), today)})"}
    for key, value in whole.items():
        if not isinstance(value, list):
            print(f"{key:15} {value if value not in (None, '') else '–'}{when.get(key, '')}")
    print(f"\nHistory (times are in {loaded.zone})")
    for event in whole["events"]:
        at = datetime.fromisoformat(event["at"]).astimezone(loaded.zone)
        print(f"{at:%Y-%m-%d %H:%M:%S}  {event['actor']:32} {event['action']} {event['detail']}")


@app.command()
def release(
    payment_ids: Annotated[list[int] | None, typer.Argument(metavar="ID", help="Payment ids.")] = None,
    config: ConfigOption = None,
    reason: GivenReason = "",
    all_held: Annotated[bool, typer.Option("--all-held", help="Release every held payment.")] = False,
    cause: CauseOption = None,
    subscription: SubscriptionOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be released.")] = False,
) -> None:
    """Let held, rejected or parked payments be sent (again) by the next run.

    Name them by their ids, or take all that are held: every one, of one subscription, for one cause.
    """
    from billing.app import decisions
    from billing.app.documents import held_payments, payment_document
    from billing.app.runtime import utc_now

    if bool(payment_ids) == bool(all_held or subscription):
        raise typer.BadParameter("give payment ids, or --all-held, or --subscription REF")
    if payment_ids and cause:
        raise typer.BadParameter("--cause goes with --all-held or --subscription")
    with store(config) as (_, db):
        ids = payment_ids or held_payments(db, cause, subscription)
        released = decisions.release(db, list(dict.fromkeys(ids)), utc_now(), reason, dry_run)
    _print_payments(
        # They are shown as they were: which state and cause they are released from.
        (payment_document(row) for row in released[:_SHOWN]),
        "",
    )
    if len(released) > _SHOWN:
        print(f"… and {len(released) - _SHOWN} more")
    print(_released(len(released), sum(row.amount_micros for row in released), dry_run))


def _released(count: int, amount_micros: int, dry_run: bool) -> str:
    from billing.core.money import format_amount
    from billing.core.plurals import counted, plural

    if not count:
        return "no payments released: none was waiting"
    amount = f"({format_amount(amount_micros)} USDC)"
    if dry_run:
        return f"{counted(count, 'payment')} would be released {amount}; nothing was changed"
    return f"{counted(count, 'payment')} released {amount}; the next run sends {plural(count, 'it', 'them')}"


@app.command()
def dismiss(payment_id: IdArgument, config: ConfigOption = None, reason: GivenReason = "") -> None:
    """Say that you have seen to what a payment was flagged for; nothing else of it changes."""
    from billing.app import decisions
    from billing.app.runtime import utc_now

    with store(config) as (_, db):
        decisions.dismiss(db, payment_id, utc_now(), reason)
    print(f"payment {payment_id} is no longer flagged")


@app.command()
def void(payment_id: IdArgument, config: ConfigOption = None, reason: GivenReason = "") -> None:
    """Never charge a payment; an open one is deleted at Mileston."""
    from billing.app import decisions
    from billing.app.runtime import utc_now

    with store(config) as (loaded, db):
        quiet = loaded.settings.reconcile.quiet_seconds
        _with_gateway(
            loaded, db, lambda gateway: decisions.void(db, gateway, payment_id, utc_now(), quiet, reason)
        )
    print(f"payment {payment_id} is void and will never be charged")


@app.command()
def resolve(
    payment_id: IdArgument,
    config: ConfigOption = None,
    remote_id: Annotated[
        str | None, typer.Option("--remote-id", help="It exists at Mileston, with this recurringPaymentId.")
    ] = None,
    absent: Annotated[
        bool,
        typer.Option("--absent", help="You checked that it does not exist at Mileston; charge it again."),
    ] = False,
    despite_mismatch: Annotated[
        bool,
        typer.Option(
            "--despite-mismatch",
            help="With --remote-id: it is this payment's although it differs; needs --reason.",
        ),
    ] = False,
    reason: GivenReason = "",
) -> None:
    """Say whether an unknown or parked payment exists at Mileston."""
    from billing.app import decisions
    from billing.app.runtime import business_date, utc_now

    if despite_mismatch and (remote_id is None or not reason.strip()):
        raise typer.BadParameter("--despite-mismatch needs --remote-id ID and a --reason")
    if (remote_id is None) != absent:
        raise typer.BadParameter("give either --remote-id ID or --absent")
    with store(config) as (loaded, db):
        now = utc_now()
        today = business_date(loaded, now)
        _with_gateway(
            loaded,
            db,
            lambda gateway: decisions.resolve(
                db, gateway, payment_id, remote_id, now, today, reason, despite_mismatch
            ),
        )
    print(f"payment {payment_id} is {'open' if remote_id else 'planned again; the next run sends it'}")


def _with_gateway(config: Config, db: Database, act: Callable[[Gateway], Awaitable[None]]) -> None:
    from billing.app.runtime import api_settings, open_gateway

    async def run() -> None:
        with api_settings(config, db) as settings:
            async with open_gateway(config, settings) as gateway:
                await act(gateway)

    asyncio.run(run())
