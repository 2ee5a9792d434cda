"""Reports to a monitoring URL that a cycle started, succeeded or failed, in the style of healthchecks.io."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

import httpx

from billing.cycle.report import Report
from billing.errors import AlreadyRunning

logger = logging.getLogger("billing.ping")

_SECONDS = 10.0
"""For one ping in all; a monitor that is slower than this hears of the next one."""


async def pinged(url: str, run: Callable[[], Awaitable[Report]]) -> Report:
    """Do the run, and report it to `url`; with an empty URL, to nobody. Raises what `run` raises.

    A run that needs a person counts as failed: that is what a monitor should wake somebody for. One
    that found another cycle running reports nothing more: the other one will.
    """
    if not url:
        return await run()
    await ping(url, "/start")
    try:
        report = await run()
    except AlreadyRunning:
        raise
    except Exception as error:
        await ping(url, "/fail", type(error).__name__)
        raise
    await ping(url, "" if report.outcome == "ok" else "/fail", _summary(report))
    return report


async def ping(url: str, suffix: str, body: str = "") -> None:
    """One POST. Never raises for what the monitor does: it must not fail the run that it watches.

    The configuration has made sure that `url` is https, or on loopback; redirects could lead away
    from there, so they are not followed.
    """
    try:
        async with (
            asyncio.timeout(_SECONDS),
            httpx.AsyncClient(trust_env=False, follow_redirects=False) as client,
            client.stream("POST", url + suffix, content=body.encode()) as response,
        ):
            if not 200 <= response.status_code < 300:
                logger.info("watch.ping_url: the monitor returned HTTP %s", response.status_code)
    except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:  # OSError includes TimeoutError
        logger.info("watch.ping_url: the monitor could not be reached: %s", type(error).__name__)


def _summary(report: Report) -> str:
    """The counts of a run: enough to see what is wrong, and nothing of any customer."""
    document = report.to_json()
    kept = ("run_id", "as_of", "outcome", "payments", "settlement", "notices", "needs_a_person", "seconds")
    return json.dumps({key: document[key] for key in kept})
