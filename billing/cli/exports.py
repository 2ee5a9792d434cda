"""`billing subscriptions export`, `payments export` and `events export`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from billing.cli.shared import ConfigOption, JsonOption, print_json_array, store

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
    _events.command("export")(export_events)
    app.add_typer(_events, name="events")


@_events.callback()
def _only_commands() -> None:
    """Makes `export` a subcommand although it is the only one."""


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
