"""Is it healthy, when was the last run, what needs a person, and what comes next?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypedDict

from billing.config import Config, Settings
from billing.core.money import format_amount
from billing.core.need_text import NeedKind, need_text
from billing.core.plurals import counted
from billing.core.states import NoticeState
from billing.cycle.report import MAIL, mail_problem
from billing.errors import StoreError
from billing.lifecycle.needs import Need as Need  # for those who ask the app alone
from billing.lifecycle.needs import needs, run_needs
from billing.store import figures, notices, payments, runs
from billing.store.connection import Database
from billing.store.rows import Run
from billing.store.tx import Tx

_HORIZONS = (("today", 0), ("7_days", 7), ("30_days", 30))
_RECENT = 20
"""So many runs are searched for the last one that was to send something."""
_LONGEST_RUN = timedelta(hours=1)
"""A run that has not ended after so long is told of: it may have been killed."""
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
    problems: list[str]
    """What went wrong with whole steps, in words."""
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


def read_status(tx: Tx, settings: Settings, today: date, now: datetime) -> Status:
    """Reports what there is. Healthy: nothing needs a person, and the last run ended well and lately."""
    recent = runs.recent(tx, _RECENT)
    resends = settings.mail.on_unknown == "resend"
    found = (
        *_needs_of_the_schedule(tx, recent, now, settings.schedule.every_minutes),
        *_needs_of_the_last_run(tx, recent),
        *needs(tx, now, resends),
    )
    return Status(
        healthy=not found,
        last_run=_last_run(recent),
        needs=found,
        upcoming={name: figures.upcoming(tx, today + timedelta(days=days)) for name, days in _HORIZONS},
        payments=payments.count_by_state(tx),
        notices=notices.count_by_state(tx),
        subscriptions=figures.count_subscriptions(tx),
    )


def needs_now(config: Config, now: datetime) -> tuple[Need, ...]:
    """What waits for a person in the database as it is now. Raises StoreError."""
    with reading(config) as tx:
        return needs(tx, now, config.settings.mail.on_unknown == "resend")


def _needs_of_the_schedule(
    tx: Tx, recent: Sequence[Run], now: datetime, every_minutes: float
) -> Iterator[Need]:
    """What is wrong with the schedule: no run has ended for too long, or the last one hangs or was killed."""
    if not recent:
        return
    last = recent[0]
    since = figures.last_finished(tx) or last.started_at
    if now - since > max(_STALE, 3 * timedelta(minutes=every_minutes)):
        days = counted(max(1, (now - since).days), "day")
        yield Need(NeedKind.STALE, need_text(NeedKind.STALE, since=days), 1, "billing run-once")
    elif last.finished_at is None and now - last.started_at > _LONGEST_RUN:
        hours = counted((now - last.started_at) // timedelta(hours=1), "hour")
        yield Need(NeedKind.UNFINISHED, need_text(NeedKind.UNFINISHED, since=hours), 1, "billing run-once")
    if trouble := mail_trouble(tx):
        waiting = notices.count_by_state(tx)[NoticeState.QUEUED]
        what = need_text(NeedKind.MAIL, waiting)
        yield Need(NeedKind.MAIL, what, waiting, "billing doctor", detail=trouble)


def mail_trouble(tx: Tx) -> str:
    """Why the mail channel stopped, as long as mail waits and no later run has sent any; else ''.

    A run that was stopped before it came to the mail, or to which none was due, proves nothing.
    """
    if not notices.count_by_state(tx).get(NoticeState.QUEUED):
        return ""
    for row in runs.recent(tx, _MOST_RUNS):
        summary = _summary(row)
        found = mail_problem(summary.get("problems", ()))
        if found or summary.get("notices", {}).get("sent"):
            return found
    return ""


def _needs_of_the_last_run(tx: Tx, recent: Sequence[Run]) -> Iterator[Need]:
    """What went wrong with the last run, as far as it still holds.

    That it stopped, or that a step failed, holds until a next run; what it left unsent only while that is
    still so. A look-up at Mileston (`billing reconcile`) sends nothing, so it makes neither good.
    """
    ended = [(run, _summary(run)) for run in recent if run.finished_at is not None]
    whole = next(((run, told) for run, told in ended if told.get("sends", True)), None)
    if ended and ended[0] != whole:
        yield from run_needs("", _but_mail(ended[0][1]), 0)
    if whole is None:
        return
    run, told = whole
    unsent = 0
    if told.get("payments", {}).get("not_sent") and run.finished_at is not None:
        unsent = payments.count_left_unsent(tx, run.as_of, run.finished_at)
    yield from run_needs(told.get("stopped", ""), _but_mail(told), unsent)


def _but_mail(told: dict[str, Any]) -> list[str]:
    """A run's problems without that of the mail channel, which has a rule of its own."""
    return [problem for problem in told.get("problems", []) if not problem.startswith(MAIL)]


def _summary(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.summary) if run.summary else {}
    return found


def _last_run(recent: Sequence[Run]) -> LastRun | None:
    if not recent:
        return None
    row = recent[0]
    summary = _summary(row)
    return {
        "run_id": row.id,
        "as_of": row.as_of.isoformat(),
        "started_at": row.started_at.isoformat(),
        "finished_at": row.finished_at.isoformat() if row.finished_at else None,
        "outcome": row.outcome or "unfinished",
        "why": summary.get("stopped", ""),
        "problems": summary.get("problems", []),
        "payments": summary.get("payments"),
    }
