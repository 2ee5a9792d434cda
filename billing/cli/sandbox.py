"""`billing sandbox serve`: the local Mileston look-alike."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="A local simulation of the Mileston API that can be made to fail on purpose.", no_args_is_help=True
)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def serve(
    context: typer.Context,
    _config: Annotated[str | None, typer.Option("--config", hidden=True)] = None,
) -> None:
    """Serve the sandbox: --port N [--data FILE] [--latency-ms N] [--fault NAME=RATE …]."""
    from billing.sandbox.__main__ import main

    raise typer.Exit(main(list(context.args), "billing sandbox serve"))
