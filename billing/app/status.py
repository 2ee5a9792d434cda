"""Is it healthy, when was the last run, what needs a person, and what comes next?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypedDict

from billing.config import Config
from billing.core.money import format_amount
from billing.core.plurals import counted, plural
from billing.core.states import NoticeState
from billing.cycle.report import mail_problem
from billing.errors import StoreError
from billing.lifecycle.needs import Need as Need  # for those who ask the app alone
from billing.lifecycle.needs import needs as needs
from billing.store import figures, notices, payments, runs
from billing.store.connection import Database
from billing.store.tx import Tx

_HORIZONS = (("today", 0), ("7_days", 7), ("30_days", 30))
_STALE = timedelta(days=1, hours=1)
"""A cycle is expected once a day at the least; it may be an hour late."""
_MOST_RUNS = 200
"""How far back the reason is looked for why mail waits; most often it is in the last run."""


@contextmanager
def reading(config: Config) -> Iterator[Tx]:
    """A view of the database as it is: nothing is created, migrated or claimed. Raises StoreError."""
    path = config.sqlite_path
    if path is not None and not path.exists():
        raise StoreError(f"there is no database {path} yet; start with `billing run-once`, which creates it")
    db = Database(config.database_url)
    try:
        with db.read() as connection:
            yield connection
    finally:
        db.close()


class LastRun(TypedDict):
    """The newest run as the contract's document shows it; dates and instants as ISO 8601."""

    run_id: str
    as_of: str
    started_at: str
    finished_at: str | None
    outcome: str
    """`ok`, `attention`, `stopped`, or `unfinished` while it runs and after it was killed."""
    why: str
    """Why it stopped, or ''."""
    payments: dict[str, int] | None
    """The run's counts, as in its report; None of a run that is unfinished."""


@dataclass(frozen=True, slots=True)
class Status:
    healthy: bool
    last_run: LastRun | None
    needs: tuple[Need, ...]
    upcoming: dict[str, tuple[int, int]]
    """Payments that come due by then, and their sum in micro-USDC."""
    payments: dict[str, tuple[int, int]]
    notices: dict[str, int]
    subscriptions: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        def sums(values: dict[str, tuple[int, int]]) -> dict[str, Any]:
            return {
                key: {"count": count, "amount": format_amount(amount)}
                for key, (count, amount) in values.items()
            }

        return {
            "healthy": self.healthy,
            "last_run": self.last_run,
            "needs": [
                {"what": need.what, "count": need.count, "command": need.command} for need in self.needs
            ],
            "upcoming": sums(self.upcoming),
            "payments": sums(self.payments),
            "notices": self.notices,
            "subscriptions": self.subscriptions,
        }


def read_status(tx: Tx, today: date, now: datetime, every_minutes: float) -> Status:
    """Reports what there is. Healthy: nothing needs a person, and the last run ended well and lately."""
    last = _last_run(tx)
    found = (*_needs_of_the_schedule(tx, last, now, every_minutes), *needs(tx))
    return Status(
        healthy=not found,
        last_run=last,
        needs=found,
        upcoming={name: figures.upcoming(tx, today + timedelta(days=days)) for name, days in _HORIZONS},
        payments=payments.count_by_state(tx),
        notices=notices.count_by_state(tx),
        subscriptions=figures.count_subscriptions(tx),
    )


def _needs_of_the_schedule(
    tx: Tx, last: LastRun | None, now: datetime, every_minutes: float
) -> Iterator[Need]:
    """What is wrong with the runs themselves: none for too long, or the last one stopped early."""
    if last is None:
        return
    ended = figures.last_finished(tx)
    since = ended or datetime.fromisoformat(last["started_at"])
    if now - since > max(_STALE, 3 * timedelta(minutes=every_minutes)):
        days = counted(max(1, (now - since).days), "day")
        what = f"no cycle has finished for {days}: check that the daemon or cron is running"
        yield Need("stale", what, 1, "billing run-once")
    if last["outcome"] == "stopped":
        yield Need("stopped", f"the last run stopped: {last['why']}", 1, "billing doctor")
    if trouble := mail_trouble(tx):
        waiting = notices.count_by_state(tx)[NoticeState.QUEUED]
        yield Need("mail", f"{plural(waiting, 'e-mail')} not sent: {trouble}", waiting, "billing doctor")


def mail_trouble(tx: Tx) -> str:
    """Why the mail channel stopped, as long as mail waits and no later run has sent any; else ''.

    A run that was stopped before it came to the mail, or to which none was due, proves nothing.
    """
    if not notices.count_by_state(tx).get(NoticeState.QUEUED):
        return ""
    for row in runs.recent(tx, _MOST_RUNS):
        summary = json.loads(row.summary) if row.summary else {}
        found = mail_problem(summary.get("problems", ()))
        if found or summary.get("notices", {}).get("sent"):
            return found
    return ""


def _last_run(tx: Tx) -> LastRun | None:
    row = runs.latest(tx)
    if row is None:
        return None
    summary = json.loads(row.summary) if row.summary else {}
    return {
        "run_id": row.id,
        "as_of": row.as_of.isoformat(),
        "started_at": row.started_at.isoformat(),
        "finished_at": row.finished_at.isoformat() if row.finished_at else None,
        "outcome": row.outcome or "unfinished",
        "why": summary.get("stopped", ""),
        "payments": summary.get("payments"),
    }
