"""`billing daemon`."""

from __future__ import annotations

from contextlib import ExitStack

import typer

from billing.cli.shared import ConfigOption, read_config


def register(app: typer.Typer) -> None:
    app.command("daemon")(daemon)


def daemon(config: ConfigOption = None) -> None:
    """Keep running: one cycle at start, then on the schedule; SIGTERM ends it cleanly."""
    from billing.app.logs import set_up
    from billing.daemon.daemon import Daemon, NobodyWatches

    loaded = read_config(config)
    set_up(loaded, long_running=True)
    listen = loaded.settings.watch.listen
    with ExitStack() as stack:
        if not listen:
            raise typer.Exit(Daemon(loaded, NobodyWatches()).run())
        from billing.app.instrumentation import new_metrics

        metrics = new_metrics("watch.listen")
        watched = Daemon(loaded, metrics)
        from billing.web.pages import pages
        from billing.web.server import serving

        served = pages(lambda: watched.config, metrics, watched.trouble, watched.late)
        stack.enter_context(serving(listen, served))
        raise typer.Exit(watched.run())
