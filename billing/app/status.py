"""Is it healthy, when was the last run, what needs a person, and what comes next?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from billing.core.money import format_amount
from billing.core.periods import periods_due
from billing.core.states import NoticeState, PaymentState, SubscriptionStatus
from billing.store import notices, payments, runs
from billing.store.models import subscriptions as table
from billing.store.subscriptions import terms_of

_HORIZONS = (("today", 0), ("7_days", 7), ("30_days", 30))


@dataclass(frozen=True, slots=True)
class Need:
    """Something that waits for a person: how many, of what, and what to type."""

    what: str
    count: int
    command: str


@dataclass(frozen=True, slots=True)
class Status:
    healthy: bool
    last_run: dict[str, Any] | None
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


def read_status(tx: Connection, today: date, now: datetime, every_minutes: float) -> Status:
    """Healthy means: nothing needs a person, and the last run ended well and not too long ago."""
    by_state = payments.count_by_state(tx)
    mails = notices.count_by_state(tx)
    needs = _needs(tx, by_state, mails)
    last = _last_run(tx)
    stale = last is not None and now - last["started"] > max(
        timedelta(days=1, hours=1), 3 * timedelta(minutes=every_minutes)
    )
    if last is not None:
        if stale:
            needs = (*needs, Need("cycles: none ran for a day", 1, "billing run-once"))
        if last["outcome"] == "stopped":
            needs = (*needs, Need(f"the last run stopped: {last['why']}", 1, "billing run-once"))
        del last["started"]
    return Status(
        healthy=not needs,
        last_run=last,
        needs=needs,
        upcoming={name: _upcoming(tx, today, today + timedelta(days=days)) for name, days in _HORIZONS},
        payments=by_state,
        notices=mails,
        subscriptions=_subscriptions(tx),
    )


def _needs(tx: Connection, by_state: dict[str, tuple[int, int]], mails: dict[str, int]) -> tuple[Need, ...]:
    found = []
    for state, what in (
        (PaymentState.REJECTED, "refused by the API: mend the data, then release"),
        (PaymentState.HELD, "held by a brake: release or void"),
        (PaymentState.PARKED, "no proof to be had: resolve, release or void"),
        (PaymentState.UNKNOWN, "outcome not known yet: the next cycles look it up"),
    ):
        if state in by_state:
            command = f"billing payments list --state {state}"
            found.append(Need(f"{state} payments ({what})", by_state[state][0], command))
    flagged = sum(1 for _ in payments.listing(tx, attention=True))
    if flagged:
        found.append(Need("payments that need a look", flagged, "billing payments list --attention"))
    for mail_state, what in (
        (NoticeState.FAILED, "refused for good"),
        (NoticeState.UNKNOWN, "maybe delivered"),
    ):
        if mail_state in mails:
            command = f"billing notices list --state {mail_state}"
            found.append(Need(f"{mail_state} notices ({what})", mails[mail_state], command))
    return tuple(found)


def _last_run(tx: Connection) -> dict[str, Any] | None:
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
        "started": row.started_at,
    }


def _upcoming(tx: Connection, today: date, through: date) -> tuple[int, int]:
    """Payments to come by `through`. Each due date of short intervals counts, not only the next."""
    s = table.c
    due = (s.status == SubscriptionStatus.ACTIVE.value) & (s.next_due_on <= through)
    row = tx.execute(select(func.count(), func.coalesce(func.sum(s.amount_micros), 0)).where(due)).one()
    count, amount = int(row[0]), int(row[1])
    short = ((s.interval_unit == "day") & (s.interval_count < 30)) | (
        (s.interval_unit == "week") & (s.interval_count < 5)
    )
    for sub in tx.execution_options(yield_per=500).execute(select(table).where(due, short)):
        terms = terms_of(sub)
        last = min(through, terms.last_due_on())
        more = len(periods_due(terms.anchor_on, terms.interval, sub.next_period + 1, last))
        count += more
        amount += more * sub.amount_micros
    return count, amount


def _subscriptions(tx: Connection) -> dict[str, int]:
    query = select(table.c.status, func.count()).group_by(table.c.status)
    return {row[0]: row[1] for row in tx.execute(query)}
