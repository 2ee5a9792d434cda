"""`billing subscriptions add`, `change` and `reactivate`: one agreement, typed by a person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from billing.cli.shared import (
    ConfigOption,
    JsonOption,
    ReasonOption,
    ReferenceArgument,
    parse_date,
    print_json,
    say,
    store,
)

if TYPE_CHECKING:
    from billing.app.agreements import Agreed, Desk


def register(app: typer.Typer) -> None:
    """Put these beside the other commands of `billing subscriptions`."""
    for command in (add, change, reactivate):
        app.command()(command)


def _cell(help: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar="TEXT", help=help)
    return option


Plan = Annotated[str | None, _cell("What is sold.")]
Name = Annotated[str | None, _cell("The subscriber's name.")]
Email = Annotated[str | None, _cell("The subscriber's e-mail address.")]
Amount = Annotated[str | None, _cell("USDC for each period: 19.90.")]
IntervalText = Annotated[str | None, _cell("`1 month`, `2 weeks`, `30 days`, `1 year`.")]
StartsOn = Annotated[str | None, _cell("The first day of the first period: YYYY-MM-DD.")]
BillFrom = Annotated[str | None, _cell("Periods before this day are not billed.")]
EndsOn = Annotated[str | None, _cell("The last day on which a period may be due.")]
Wallet = Annotated[str | None, _cell("The wallet that the subscriber pays from.")]
Locale = Annotated[str | None, _cell("The language of the mails: de, es, fr, pt, en.")]
Company = Annotated[str | None, _cell("For receipts: the buyer's company.")]
TaxId = Annotated[str | None, _cell("For receipts: the buyer's tax number.")]
Address = Annotated[str | None, _cell("For receipts: the postal address, ` | ` between its lines.")]
AllowSimilar = Annotated[
    bool, typer.Option("--allow-similar", help="Also if it looks like a known subscription.")
]
AllowOverlap = Annotated[
    bool, typer.Option("--allow-overlap", help="Let a new --bill-from charge days that are charged already.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would become of it; change nothing.")]


def add(
    reference: ReferenceArgument,
    plan: Plan = None,
    name: Name = None,
    email: Email = None,
    amount: Amount = None,
    interval: IntervalText = None,
    starts_on: StartsOn = None,
    bill_from: BillFrom = None,
    ends_on: EndsOn = None,
    wallet_address: Wallet = None,
    locale: Locale = None,
    company: Company = None,
    tax_id: TaxId = None,
    address: Address = None,
    config: ConfigOption = None,
    allow_similar: AllowSimilar = False,
    dry_run: DryRun = False,
    json: JsonOption = False,
) -> None:
    """Add one subscription; the texts are those of the CSV's columns."""
    from billing.app import agreements

    cells = _given(
        plan=plan,
        name=name,
        email=email,
        amount=amount,
        interval=interval,
        starts_on=starts_on,
        bill_from=bill_from,
        ends_on=ends_on,
        wallet_address=wallet_address,
        locale=locale,
        company=company,
        tax_id=tax_id,
        address=address,
    )
    _at_the_desk(
        config, lambda desk: agreements.add(desk, reference, cells), (allow_similar, False), dry_run, json
    )


def change(
    reference: ReferenceArgument,
    plan: Plan = None,
    name: Name = None,
    email: Email = None,
    amount: Amount = None,
    interval: IntervalText = None,
    starts_on: StartsOn = None,
    bill_from: BillFrom = None,
    ends_on: EndsOn = None,
    wallet_address: Wallet = None,
    locale: Locale = None,
    company: Company = None,
    tax_id: TaxId = None,
    address: Address = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="Hold from the first due date on or after this day."),
    ] = None,
    config: ConfigOption = None,
    allow_overlap: AllowOverlap = False,
    dry_run: DryRun = False,
    json: JsonOption = False,
) -> None:
    """Change an agreement from its next charge on, or a later one; what is not named stays.

    A higher price waits until it was told reminders.price_change_days before. "" empties an optional field.
    """
    from billing.app import agreements

    cells = _given(
        plan=plan,
        name=name,
        email=email,
        amount=amount,
        interval=interval,
        starts_on=starts_on,
        bill_from=bill_from,
        ends_on=ends_on,
        wallet_address=wallet_address,
        locale=locale,
        company=company,
        tax_id=tax_id,
        address=address,
    )
    day = parse_date(from_) if from_ is not None else None
    if not cells:
        raise typer.BadParameter("name what changes, for example --amount 29.90")
    _at_the_desk(
        config,
        lambda desk: agreements.change(desk, reference, cells, day),
        (False, allow_overlap),
        dry_run,
        json,
    )


def reactivate(
    reference: ReferenceArgument,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="Its new anchor; default: as soon as no day is charged."),
    ] = None,
    config: ConfigOption = None,
    reason: ReasonOption = "",
    dry_run: DryRun = False,
    json: JsonOption = False,
) -> None:
    """Let a cancelled or ended subscription begin anew, with a new anchor; its history stays."""
    from billing.app import agreements

    day = parse_date(from_) if from_ is not None else None
    _at_the_desk(
        config,
        lambda desk: agreements.reactivate(desk, reference, day, reason),
        (False, False),
        dry_run,
        json,
    )


def _given(**cells: str | None) -> dict[str, str]:
    return {name: cell for name, cell in cells.items() if cell is not None}


def _at_the_desk(
    config: Path | None,
    act: Callable[[Desk], Agreed],
    allow: tuple[bool, bool],
    dry_run: bool,
    json: bool,
) -> None:
    """Do it, and say what changed and what is charged next; or every fault, and exit 2."""
    from billing.app.agreements import Desk
    from billing.app.importing import Permissions
    from billing.app.runtime import utc_now
    from billing.errors import ImportRejected

    with store(config) as (loaded, db):
        try:
            done = act(Desk(db, loaded.settings, utc_now(), Permissions(*allow), dry_run))
        except ImportRejected as error:
            if json:
                print_json({"faults": list(error.faults)})
            else:
                say(f"nothing was changed:\n{error}")
            raise typer.Exit(2) from None
    if json:
        print_json(done.to_json(dry_run=dry_run))
        return
    for line in (*done.told, *done.past):
        print(line)
    would = "would be " if dry_run else ""
    print(f"{done.reference}: {would}{done.outcome}{done.next_words()}")
