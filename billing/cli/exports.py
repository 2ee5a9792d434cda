"""`billing subscriptions export`, `payments export`, and `events list` and `export`."""

from __future__ import annotations

import sys
from datetime import datetime, time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.shared import (
    ConfigOption,
    JsonOption,
    SubscriptionOption,
    parse_date,
    print_json_array,
    store,
)
from billing.cli.table import columns_of, print_table

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_events = typer.Typer(help="The event log: who did what, when and why.", no_args_is_help=True)


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


FormatOption = Annotated[
    Format,
    typer.Option(
        "--format", help="csv (cells that begin with = + - @ get a leading '), or jsonl (exact values)."
    ),
]


def register(app: typer.Typer, subscriptions: typer.Typer, payments: typer.Typer) -> None:
    subscriptions.command("export")(export_subscriptions)
    payments.command("export")(export_payments)
    _events.command("list")(list_events)
    _events.command("export")(export_events)
    app.add_typer(_events, name="events")


def export_subscriptions(
    config: ConfigOption = None, form: FormatOption = Format.CSV, json: JsonOption = False
) -> None:
    """All subscriptions on stdout, in the columns that `subscriptions import` reads."""
    _export("SUBSCRIPTIONS", config, form, json)


def export_payments(
    config: ConfigOption = None, form: FormatOption = Format.CSV, json: JsonOption = False
) -> None:
    """All payments on stdout."""
    _export("PAYMENTS", config, form, json)


def list_events(
    config: ConfigOption = None,
    subscription: SubscriptionOption = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only what happened on this day or later.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """The event log in plain words, oldest first."""
    from billing.app.documents import events_listed

    day = parse_date(since) if since is not None else None
    with store(config) as (loaded, db):
        began = None if day is None else datetime.combine(day, time.min, loaded.zone)
        documents = events_listed(db, reference=subscription, since=began)
        if json:
            print_json_array(documents)
            return
        rows = (_told(doc, loaded.zone) for doc in documents)
        print_table(columns_of(at="fixed", subscription="text", event="text"), rows, "no such events")


def _told(doc: dict[str, Any], zone: ZoneInfo) -> tuple[str, str, str]:
    from billing.core.event_text import sentence_of

    at = datetime.fromisoformat(doc["at"]).astimezone(zone)
    it = "the subscription" if doc["payment_id"] is None else f"payment {doc['payment_id']}"
    kind, _, name = doc["actor"].partition(":")
    by = f", by {name}" if kind == "person" else ""
    told = f"{sentence_of(doc['action'], doc['detail'], it)}{by}"
    return f"{at:%Y-%m-%d %H:%M:%S}", doc["subscription"] or "–", told


def export_events(
    config: ConfigOption = None, form: FormatOption = Format.CSV, json: JsonOption = False
) -> None:
    """The whole event log on stdout, oldest first."""
    _export("EVENTS", config, form, json)


def _export(name: str, config: Path | None, form: Format, json: bool) -> None:
    from billing.app import exporting

    export: exporting.Export[Any] = getattr(exporting, name)
    with store(config) as (_, db):
        rows = export.rows(db)
        if json:
            print_json_array(rows)
        elif form is Format.CSV:
            exporting.write_csv(export.columns, rows, sys.stdout)
        else:
            exporting.write_json_lines(rows, sys.stdout)
