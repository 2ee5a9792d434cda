"""What becomes of a subscription, one verb for each change; its terms stand in `terms`.

active <-> paused      pause, resume (`lifecycle.pauses`)
active, paused -> cancelled    cancel, or advance when `cancel_on` has come
active -> ended        advance, when every period up to `ends_on` is planned
cancelled, ended -> active     reopen, with a new anchor
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TypedDict, Unpack, cast

from sqlalchemy import select, update

from billing.core.event_text import EventAction
from billing.core.reminders import ReminderSettings, first_reminder_on
from billing.core.states import UNSENT, NoticeKind, SubscriptionStatus
from billing.errors import UsageError
from billing.lifecycle import notices
from billing.lifecycle.dunning import forget_pause
from billing.lifecycle.payments import void
from billing.store.bulk import update_rows
from billing.store.events import event, record
from billing.store.models import payments, subscriptions
from billing.store.rows import PaymentInState, PeriodRef, Subscription
from billing.store.subscriptions import terms_of
from billing.store.tx import Tx

_S, _P = subscriptions.c, payments.c


class SubscriptionValues(TypedDict, total=False):
    """What a change of a subscription's status may set."""

    status: str
    paused_by: str
    paused_until: date | None
    resumed_on: date
    cancel_on: date | None
    next_period: int
    next_due_on: date | None
    next_remind_on: date | None


class Advance(TypedDict):
    """Where a schedule goes next; `was_next_period` is where it must still be."""

    id: int
    was_next_period: int
    next_period: int
    next_due_on: date | None
    next_remind_on: date | None
    status: str


def advance(tx: Tx, actor: str, now: datetime, rows: Sequence[Advance]) -> None:
    """Move schedules on; those whose last period is planned end, or are cancelled as was agreed.

    Raises RuntimeError if one was moved by another worker, though the caller holds its lock.
    """
    moved = update_rows(tx, subscriptions, rows, updated_at=now)
    if moved != len(rows):
        raise RuntimeError(f"{len(rows) - moved} schedules were moved by another worker under our lock")
    over = {
        SubscriptionStatus.ENDED.value: (EventAction.SUBSCRIPTION_ENDED, "its last period is planned"),
        SubscriptionStatus.CANCELLED.value: (EventAction.SUBSCRIPTION_CANCELLED, "its last day has come"),
    }
    record(
        tx,
        [
            event(now, actor, *over[row["status"]], subscription_id=row["id"])
            for row in rows
            if row["status"] in over
        ],
    )


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`last_day` is the last day that the subscription covers; `voided` is how many payments were."""

    last_day: date
    voided: int
    notices_queued: int


def cancel(
    tx: Tx,
    actor: str,
    now: datetime,
    today: date,
    row: Subscription,
    reason: str,
    payment: PeriodRef | None = None,
) -> Cancelled | None:
    """End a subscription now: what is not yet at Mileston is voided, open payments stay owed.

    `payment` is the one whose dunning led to it. Returns None if it is not active or paused any more.
    """
    done = set_status(
        tx,
        row,
        now,
        (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED),
        status=SubscriptionStatus.CANCELLED.value,
        paused_by="",
        paused_until=None,
        cancel_on=min(row.cancel_on or today, today),
        next_due_on=None,
        next_remind_on=None,
    )
    if not done:
        return None
    forget_pause(tx, row.id)
    voided = void(tx, actor, now, _unsent(tx, row.id), "its subscription was cancelled")
    queued = _tell_cancelled(tx, actor, now, row, today, reason, payment)
    return Cancelled(today, len(voided), queued)


def cancel_at_period_end(
    tx: Tx, actor: str, now: datetime, today: date, row: Subscription, reason: str
) -> Cancelled | None:
    """End an active subscription at the end of the period that is paid for."""
    ends = _end_of_the_running_period(row, today)
    if not set_status(tx, row, now, (SubscriptionStatus.ACTIVE,), cancel_on=ends, next_remind_on=None):
        return None
    last_day = ends - timedelta(days=1)
    return Cancelled(last_day, 0, _tell_cancelled(tx, actor, now, row, last_day, reason, None))


def undo_cancellation(
    tx: Tx, actor: str, now: datetime, row: Subscription, reminders: ReminderSettings, reason: str
) -> date | None:
    """It goes on as if it had never been cancelled; returns the next due date, None if no period is left.

    Raises UsageError if it was not going to end, or has ended.
    """
    terms = replace(terms_of(row), cancel_on=None)
    due = terms.next_due_on(row.next_period)
    remind = None if due is None else first_reminder_on(terms.interval, due, reminders)
    if row.cancel_on is None or not set_status(
        tx,
        row,
        now,
        (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED),
        cancel_on=None,
        next_due_on=due,
        next_remind_on=remind,
    ):
        raise UsageError(f"{row.reference} changed meanwhile; look at it again")
    detail = f"{reason}; next due {due}".removeprefix("; ")
    record(tx, [event(now, actor, EventAction.CANCELLATION_UNDONE, detail, subscription_id=row.id)])
    if not notices.is_waiting(tx, NoticeKind.SUBSCRIPTION_CANCELLED, row.id):
        # Who was never told that it ends need not be told that it does not.
        notify(tx, NoticeKind.SUBSCRIPTION_RESUMED, row, now, f"{now:%Y%m%dT%H%M%S}", None)
    return due


def reopen(tx: Tx, actor: str, now: datetime, row: Subscription, starts_on: date, reason: str) -> None:
    """A cancelled or ended one begins anew; what it then costs, and when, `terms.put` says next.

    Raises UsageError if it is neither any more.
    """
    over = (SubscriptionStatus.CANCELLED, SubscriptionStatus.ENDED)
    if not set_status(tx, row, now, over, status=SubscriptionStatus.ACTIVE.value, cancel_on=None):
        raise UsageError(f"{row.reference} changed meanwhile; look at it again")
    detail = f"{reason}; from {starts_on}".removeprefix("; ")
    record(tx, [event(now, actor, EventAction.SUBSCRIPTION_REACTIVATED, detail, subscription_id=row.id)])
    notify(tx, NoticeKind.SUBSCRIPTION_RESUMED, row, now, f"{now:%Y%m%dT%H%M%S}", None)


def _tell_cancelled(
    tx: Tx,
    actor: str,
    now: datetime,
    row: Subscription,
    last_day: date,
    reason: str,
    payment: PeriodRef | None,
) -> int:
    detail = f"{reason}; last day {last_day}".removeprefix("; ")
    record(tx, [event(now, actor, EventAction.SUBSCRIPTION_CANCELLED, detail, subscription_id=row.id)])
    facts = json.dumps({"last_day": last_day.isoformat()})
    return notify(tx, NoticeKind.SUBSCRIPTION_CANCELLED, row, now, last_day.isoformat(), payment, facts)


def _end_of_the_running_period(row: Subscription, today: date) -> date:
    """The first due date after today: a period that is due but not planned yet still counts."""
    if row.next_due_on is not None and row.next_due_on > today:
        return row.next_due_on
    terms = terms_of(row)
    return terms.due_on(terms.first_period(today + timedelta(days=1)))


def _unsent(tx: Tx, subscription_id: int) -> list[PaymentInState]:
    states = [state.value for state in UNSENT]
    query = select(_P.id, _P.subscription_id, _P.state).where(
        _P.subscription_id == subscription_id, _P.state.in_(states)
    )
    return cast("list[PaymentInState]", list(tx.execute(query.order_by(_P.id))))


def notify(
    tx: Tx,
    kind: NoticeKind,
    row: Subscription,
    now: datetime,
    suffix: str,
    payment: PeriodRef | None,
    facts: str = "",
) -> int:
    if payment is not None:
        return notices.queue(tx, [notices.about_payment(kind, payment, now, facts=facts)])
    key = notices.dedupe_key(kind, row.reference, None, suffix)
    return notices.queue(tx, [notices.new_notice(kind, key, now, subscription_id=row.id, facts=facts)])


def set_status(
    tx: Tx,
    row: Subscription,
    now: datetime,
    old: Sequence[SubscriptionStatus],
    **values: Unpack[SubscriptionValues],
) -> bool:
    """Compare-and-set on the status; returns whether it was one of `old`."""
    still = (_S.id == row.id) & _S.status.in_([status.value for status in old])
    statement = update(subscriptions).where(still).values({**values, "updated_at": now})
    return bool(tx.execute(statement).rowcount)
