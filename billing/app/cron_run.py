"""A run with what surrounds it for cron: the ping of a monitoring URL, and the node exporter's file."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import date

from billing.app.instrumentation import new_metrics
from billing.app.ping import pinged
from billing.app.runtime import Hooks, run_once, utc_now
from billing.config import Config
from billing.cycle.report import Report
from billing.errors import AlreadyRunning

logger = logging.getLogger("billing.cron_run")


async def watched_run(config: Config, as_of: date | None, hooks: Hooks) -> Report:
    """`run_once` for cron: watched as the config's `watch` section says.

    Raises what `run_once` raises. A monitor or a file that cannot be reached never fails the run.
    """
    watch = config.settings.watch
    if not watch.textfile:
        return await pinged(watch.ping_url, lambda: run_once(config, as_of, hooks))
    metrics = new_metrics("watch.textfile")
    hooks = replace(hooks, on_call=metrics.note_call, on_delivery=metrics.note_delivery)
    try:
        report = await pinged(watch.ping_url, lambda: run_once(config, as_of, hooks))
        metrics.note_report(report)
        return report
    except AlreadyRunning:
        metrics.note_cycle("overlapped")
        raise
    except Exception:
        metrics.note_cycle("failed")
        raise
    finally:
        from billing.app.metrics import write_textfile

        path = config.resolve(watch.textfile)
        try:
            write_textfile(path, metrics, config, utc_now())
        except OSError as error:
            logger.warning("watch.textfile: cannot write %s: %s", path, error.strerror)
