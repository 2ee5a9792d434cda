"""What is served: is the process alive, is it ready, and how is billing doing?"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from billing.app.metrics import CONTENT_TYPE, Metrics
from billing.app.runtime import utc_now
from billing.app.status import reading
from billing.config import Config
from billing.errors import BillingError
from billing.store.schema import SCHEMA_HEAD, version_in
from billing.web.server import Answer, Pages


def pages(
    config: Callable[[], Config],
    metrics: Metrics,
    trouble: Callable[[], str],
    late: Callable[[datetime], str],
) -> Pages:
    """The three pages of a daemon.

    `trouble()` says why its process seems to hang, `late(now)` why its last tick is too old;
    both '' if all is well.
    """

    def healthz() -> Answer:
        found = trouble()
        return _json(not found, {"healthy": not found, "trouble": found})

    def readyz() -> Answer:
        """The payments API is not checked: while it is down this process is as ready as it can be."""
        checks = {**_database(config()), "last_tick": late(utc_now()) or "ok"}
        ready = all(words == "ok" for words in checks.values())
        return _json(ready, {"ready": ready, **checks})

    def exposition() -> Answer:
        return Answer(200, CONTENT_TYPE, metrics.expose(config, utc_now()))

    return {"/healthz": healthz, "/readyz": readyz, "/metrics": exposition}


def _database(config: Config) -> dict[str, str]:
    try:
        with reading(config) as connection:
            version = version_in(connection)
    except BillingError:
        return {"database": "it can't be read; `billing doctor` shows why", "schema": "not known"}
    if version != SCHEMA_HEAD:
        return {
            "database": "ok",
            "schema": f"it is {version or 'empty'}, but this program needs {SCHEMA_HEAD}",
        }
    return {"database": "ok", "schema": "ok"}


def _json(good: bool, document: dict[str, object]) -> Answer:
    body = json.dumps(document).encode() + b"\n"
    return Answer(200 if good else 503, "application/json", body)
