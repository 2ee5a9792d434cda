"""`billing status` and `billing config`."""

from __future__ import annotations

import typer

from billing.cli.shared import ConfigOption, JsonOption, print_json, print_table, read_config, store

_config_app = typer.Typer(help="The configuration.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command("status")(status)
    app.add_typer(_config_app, name="config")


@_config_app.command("show")
def show_config(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Every value and where it came from; secrets masked."""
    loaded = read_config(config)
    if json:
        print_json({key: {"value": value, "origin": origin} for key, value, origin in loaded.rows()})
        return
    rows = ((key, str(value), origin) for key, value, origin in loaded.rows())
    print_table(("key", "value", "from"), rows, "")


def status(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Is it healthy, when was the last run, what needs me, what comes next?"""
    from billing.app.runtime import business_date, utc_now
    from billing.app.status import read_status
    from billing.core.money import format_amount

    with store(config) as (loaded, db), db.read() as tx:
        now = utc_now()
        today = business_date(loaded, now)
        found = read_status(tx, today, now, loaded.settings.schedule.every_minutes)
    if json:
        print_json(found.to_json())
        return
    print("All is well." if found.healthy else "Something needs you:")
    for need in found.needs:
        print(f"  {need.count:>7}  {need.what}\n           {need.command}")
    if found.last_run is None:
        print("No cycle has run yet: `billing run-once` runs one.")
    else:
        print(f"Last run: {found.last_run['started_at'][:19]} UTC, {found.last_run['outcome']}")
    for name, label in (("today", "due today"), ("7_days", "due in 7 days"), ("30_days", "due in 30 days")):
        count, amount = found.upcoming[name]
        print(f"  {count:>7}  {label}, {format_amount(amount)} USDC")
    for state, (count, amount) in sorted(found.payments.items()):
        print(f"  {count:>7}  payments {state}, {format_amount(amount)} USDC")
