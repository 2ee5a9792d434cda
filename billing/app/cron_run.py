"""A run that others watch: a monitoring URL is pinged, and the node exporter's file is written."""

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

logger = logging.getLogger("billing.watched")


async def watched_run(config: Config, as_of: date | None, hooks: Hooks) -> Report:
    """`run_once` for cron: watched as the config's `watch` section says.

    Raises what `run_once` raises. That nobody could be told of a run never fails it.
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
            logger.warning("watch.textfile: %s can't be written: %s", path, error.strerror)
