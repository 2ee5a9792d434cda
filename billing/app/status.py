"""Is it healthy, when was the last run, what needs a person, and what comes next?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, text

from billing.config import Config
from billing.core.money import format_amount
from billing.core.periods import periods_due
from billing.core.states import SubscriptionStatus
from billing.errors import StoreError
from billing.lifecycle.needs import Need, needs
from billing.store import notices, payments, runs
from billing.store.connection import Database
from billing.store.models import runs as run_table
from billing.store.models import subscriptions as table
from billing.store.subscriptions import terms_of

_HORIZONS = (("today", 0), ("7_days", 7), ("30_days", 30))
_STALE = timedelta(days=1, hours=1)
"""A cycle is expected once a day at the least; it may be an hour late."""


@contextmanager
def reading(config: Config) -> Iterator[Connection]:
    """A view of the database as it is: nothing is created, migrated or claimed. Raises StoreError."""
    path = config.sqlite_path
    if path is not None and not path.exists():
        raise StoreError(f"there is no database {path} yet; `billing run-once` makes it")
    db = Database(config.database_url)
    try:
        with db.read() as connection:
            yield connection
    finally:
        db.close()


def schema_version(connection: Connection) -> str | None:
    """The schema that a database has, or None if it has no tables yet."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


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
    last = _last_run(tx)
    found = (*_needs_of_the_schedule(tx, last, now, every_minutes), *needs(tx))
    return Status(
        healthy=not found,
        last_run=last,
        needs=found,
        upcoming={name: _upcoming(tx, today + timedelta(days=days)) for name, days in _HORIZONS},
        payments=payments.count_by_state(tx),
        notices=notices.count_by_state(tx),
        subscriptions=_subscriptions(tx),
    )


def _needs_of_the_schedule(
    tx: Connection, last: dict[str, Any] | None, now: datetime, every_minutes: float
) -> Iterator[Need]:
    """What is wrong with the runs themselves: none for too long, or the last one stopped early."""
    if last is None:
        return
    ended = tx.execute(select(func.max(run_table.c.finished_at))).scalar()
    since = ended or datetime.fromisoformat(last["started_at"])
    if now - since > max(_STALE, 3 * timedelta(minutes=every_minutes)):
        days = max(1, (now - since).days)
        what = f"no cycle has ended for {days} day{'s' if days > 1 else ''}: is the daemon or cron running?"
        yield Need("stale", what, 1, "billing run-once")
    if last["outcome"] == "stopped":
        yield Need("stopped", f"the last run stopped: {last['why']}", 1, "billing doctor")


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
    }


def _upcoming(tx: Connection, through: date) -> tuple[int, int]:
    """Payments to come by `through`. Each due date of short intervals counts, not only the next."""
    s = table.c
    due = (s.status == SubscriptionStatus.ACTIVE.value) & (s.next_due_on <= through)
    many, sums = func.count().label("many"), func.sum(s.amount_micros).label("micros")
    row = tx.execute(select(many, sums).where(due)).one()
    count, amount = int(row.many), int(row.micros or 0)
    short = (
        ((s.interval_unit == "day") & (s.interval_count < 30))
        | ((s.interval_unit == "week") & (s.interval_count < 5))
        | ((s.interval_unit == "month") & (s.next_due_on <= through - timedelta(days=28)))
    )
    calendar = (
        s.anchor_on,
        s.interval_count,
        s.interval_unit,
        s.bill_from,
        s.ends_on,
        s.cancel_on,
        s.next_period,
    )
    # However many there are, few have a calendar of their own.
    for alike in tx.execute(select(many, sums, *calendar).where(due, short).group_by(*calendar)):
        terms = terms_of(alike)
        last = min(through, terms.last_due_on())
        more = len(periods_due(terms.anchor_on, terms.interval, alike.next_period + 1, last))
        count += more * int(alike.many)
        amount += more * int(alike.micros)
    return count, amount


def _subscriptions(tx: Connection) -> dict[str, int]:
    query = select(table.c.status, func.count()).group_by(table.c.status)
    return {row[0]: row[1] for row in tx.execute(query)}
