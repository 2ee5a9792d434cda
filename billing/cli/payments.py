"""`billing payments`: list, show, release, resolve, void."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from billing.app import decisions
from billing.cli.shared import (
    ConfigOption,
    JsonOption,
    print_json,
    print_json_array,
    print_table,
    store,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from billing.app.runtime import Database
    from billing.config import Config
    from billing.cycle.context import Gateway

app = typer.Typer(help="Payments: list them, and decide about those that wait for you.", no_args_is_help=True)

IdArgument = Annotated[int, typer.Argument(metavar="ID", help="The payment's id.")]
GivenReason = Annotated[str, typer.Option("--reason", help="Why; stored in the event log.")]


@app.command("list")
def list_all(
    config: ConfigOption = None,
    state: Annotated[str | None, typer.Option(metavar="S", help="Only payments in this state.")] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Only payments flagged for a person to check.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Payments by due date."""
    from billing.app.documents import payments_listed
    from billing.core.states import PaymentState

    if state is not None and state not in PaymentState.__members__.values():
        raise typer.BadParameter(
            f"{state!r} is not a state of a payment; use one of {', '.join(PaymentState)}"
        )
    with store(config) as (_, db):
        documents = payments_listed(db, state, attention)
        if json:
            print_json_array(documents)
            return
        columns = ("id", "subscription", "due", "amount", "state", "cause")
        print_table(
            columns,
            (
                (
                    str(doc["id"]),
                    doc["subscription"],
                    doc["due_on"],
                    doc["amount"],
                    doc["state"],
                    doc["attention"] or doc["cause"],
                )
                for doc in documents
            ),
            "no such payments",
        )


@app.command()
def show(payment_id: IdArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """One payment with its attempts and its history."""
    from billing.app.documents import payment_shown

    with store(config) as (_, db):
        whole = payment_shown(db, payment_id)
    if json:
        print_json(whole)
        return
    for key, value in whole.items():
        if not isinstance(value, list):
            print(f"{key:15} {value if value not in (None, '') else '–'}")
    for event in whole["events"]:
        print(f"{event['at'][:19]}  {event['actor']:32} {event['action']} {event['detail']}")


@app.command()
def release(
    payment_ids: Annotated[list[int] | None, typer.Argument(metavar="ID...", help="Payment ids.")] = None,
    config: ConfigOption = None,
    reason: GivenReason = "",
    all_held: Annotated[bool, typer.Option("--all-held", help="Release every held payment.")] = False,
) -> None:
    """Let held, rejected or parked payments be sent (again) by the next run."""
    from billing.app.documents import held_payments
    from billing.app.runtime import utc_now

    if bool(payment_ids) == all_held:
        raise typer.BadParameter("give payment ids, or --all-held")
    with store(config) as (_, db):
        if all_held:
            payment_ids = held_payments(db)
        released = decisions.release(db, payment_ids or [], utc_now(), reason)
    print(_released(len(released), sum(row.amount_micros for row in released)))


def _released(count: int, amount_micros: int) -> str:
    from billing.core.money import format_amount
    from billing.core.plurals import counted, plural

    if not count:
        return "no payments released: none was waiting"
    what = f"{counted(count, 'payment')} released ({format_amount(amount_micros)} USDC)"
    return f"{what}; the next run sends {plural(count, 'it', 'them')}"


@app.command()
def dismiss(payment_id: IdArgument, config: ConfigOption = None, reason: GivenReason = "") -> None:
    """Say that you have seen to what a payment was flagged for; nothing else of it changes."""
    from billing.app.runtime import utc_now

    with store(config) as (_, db):
        decisions.dismiss(db, payment_id, utc_now(), reason)
    print(f"payment {payment_id} is no longer flagged")


@app.command()
def void(payment_id: IdArgument, config: ConfigOption = None, reason: GivenReason = "") -> None:
    """Never charge a payment; an open one is deleted at Mileston."""
    from billing.app.runtime import utc_now

    with store(config) as (loaded, db):
        _with_gateway(loaded, db, lambda gateway: decisions.void(db, gateway, payment_id, utc_now(), reason))
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
