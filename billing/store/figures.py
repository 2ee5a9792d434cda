"""Sums, counts and ages over the whole database: for status, metrics and doctor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Select, false, func, or_, select

from billing.core.periods import periods_due
from billing.core.states import NoticeState, PaymentState, SubscriptionStatus
from billing.store.models import notices, payments, runs, subscriptions
from billing.store.subscriptions import terms_of
from billing.store.tx import Tx

_N, _P, _R, _S = notices.c, payments.c, runs.c, subscriptions.c
_LEAST_DAYS = {"day": 1, "week": 7, "month": 28, "year": 365}
_GONE_THROUGH = ("ok", "attention")
_UNPAID = (PaymentState.OPEN.value, PaymentState.UNCOLLECTIBLE.value)


def count_subscriptions(tx: Tx) -> dict[str, int]:
    """How many subscriptions there are of each status."""
    query = select(_S.status, func.count()).group_by(_S.status)
    return {row[0]: row[1] for row in tx.execute(query)}


def count_flagged(tx: Tx) -> int:
    """Payments in any state that carry a note for a person."""
    return tx.execute(select(func.count()).where(_P.attention != "")).scalar_one()


@dataclass(frozen=True, slots=True)
class Oldest:
    """Since when the oldest of each has waited; None where nothing waits."""

    planned: datetime | None
    unknown: datetime | None
    queued: datetime | None
    look: datetime | None


def oldest(tx: Tx) -> Oldest:
    """What has waited longest: to be sent, to be known, to be mailed, to be read."""

    def first(query: Select[Any]) -> datetime | None:
        found: datetime | None = tx.execute(query).scalar()
        return found

    unknown_since = func.coalesce(_P.deadline_at, _P.updated_at)
    return Oldest(
        planned=first(select(func.min(_P.created_at)).where(_P.state == PaymentState.PLANNED.value)),
        unknown=first(select(func.min(unknown_since)).where(_P.state == PaymentState.UNKNOWN.value)),
        queued=first(select(func.min(_N.queued_at)).where(_N.state == NoticeState.QUEUED.value)),
        look=first(select(func.min(_P.looked_at)).where(_P.state.in_(_UNPAID))),
    )


def last_success(tx: Tx) -> datetime | None:
    """When the last cycle that went through ended: ok or attention."""
    query = select(func.max(_R.finished_at)).where(_R.outcome.in_(_GONE_THROUGH))
    return tx.execute(query).scalar()


def last_started(tx: Tx) -> datetime | None:
    """When the newest run began, by its own clock."""
    return tx.execute(select(func.max(_R.started_at))).scalar()


def last_finished(tx: Tx) -> datetime | None:
    """When a run ended last, however it ended."""
    return tx.execute(select(func.max(_R.finished_at))).scalar()


def server_clock(tx: Tx) -> datetime | None:
    """What the database server's clock says; None for SQLite, which has our own."""
    if tx.dialect.name != "postgresql":
        return None
    clock: datetime = tx.execute(select(func.clock_timestamp())).scalar_one()
    return clock


def upcoming(tx: Tx, through: date) -> tuple[int, int]:
    """Payments to come by `through`, and their sum in micro-USDC.

    Each due date of short intervals counts, not only the next.
    """
    due = (_S.status == SubscriptionStatus.ACTIVE.value) & (_S.next_due_on <= through)
    many, sums = func.count().label("many"), func.sum(_S.amount_micros).label("micros")
    row = tx.execute(select(many, sums).where(due)).one()
    count, amount = int(row.many), int(row.micros or 0)
    lengths = tx.execute(select(_S.interval_unit, _S.interval_count).where(due).distinct()).all()
    again = [
        (_S.interval_unit == unit)
        & (_S.interval_count == count)
        & (_S.next_due_on <= through - timedelta(days=_LEAST_DAYS[unit] * count))
        for unit, count in lengths
        if _LEAST_DAYS[unit] * count < (through - date.min).days
    ]
    calendar = (
        _S.anchor_on,
        _S.interval_count,
        _S.interval_unit,
        _S.bill_from,
        _S.ends_on,
        _S.cancel_on,
        _S.next_period,
    )
    # However many there are, few have a calendar of their own; most are due once.
    for alike in tx.execute(
        select(many, sums, *calendar).where(due, or_(false(), *again)).group_by(*calendar)
    ):
        terms = terms_of(alike)
        last = min(through, terms.last_due_on())
        more = len(periods_due(terms.anchor_on, terms.interval, alike.next_period + 1, last))
        count += more * int(alike.many)
        amount += more * int(alike.micros)
    return count, amount


def synchronous(tx: Tx) -> tuple[str, str] | None:
    """PostgreSQL's `synchronous_commit` and `synchronous_standby_names`; None of SQLite."""
    if tx.dialect.name != "postgresql":
        return None
    names = ("synchronous_commit", "synchronous_standby_names")
    commit, standbys = tx.execute(select(*map(func.current_setting, names))).one()
    return str(commit), str(standbys)
