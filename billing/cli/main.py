"""`billing`: the commands, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from billing import __version__
from billing.cli import (
    agreements,
    daemon,
    exports,
    man,
    notices,
    payments,
    runs,
    sandbox,
    subscriptions,
    system,
    templates,
)
from billing.errors import BillingError

app = typer.Typer(
    name="billing",
    help="Charges every period of every subscription exactly once, and e-mails subscribers about it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},  # of every command below, too
)
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(payments.app, name="payments")
app.add_typer(notices.app, name="notices")
app.add_typer(templates.app, name="templates")
app.add_typer(sandbox.app, name="sandbox")
runs.register(app)
daemon.register(app)
system.register(app)
agreements.register(subscriptions.app)
exports.register(app, subscriptions.app, payments.app)
man.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"billing {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run a command; a `BillingError` is printed on stderr and becomes its exit code."""
    try:
        app()
    except BillingError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
