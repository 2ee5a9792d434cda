"""What becomes of a subscription, one verb for each change; its terms stand in `terms`.

active <-> paused      pause, resume
active, paused -> cancelled    cancel, or advance when `cancel_on` has come
active -> ended        advance, when every period up to `ends_on` is planned
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypedDict, Unpack, cast

from sqlalchemy import select, update

from billing.core.event_text import EventAction
from billing.core.reminders import ReminderSettings, first_reminder_on
from billing.core.states import UNSENT, NoticeKind, SubscriptionStatus
from billing.errors import UsageError
from billing.lifecycle import notices
from billing.lifecycle.dunning import BY_DUNNING, forget_pause, go_on, held_back, paid_up
from billing.lifecycle.payments import void
from billing.store.bulk import update_rows
from billing.store.events import event, record
from billing.store.models import payments, subscriptions
from billing.store.rows import PaymentInState, PeriodRef, Subscription
from billing.store.subscriptions import get, terms_of
from billing.store.tx import Tx

_S, _P = subscriptions.c, payments.c


class SubscriptionValues(TypedDict, total=False):
    """What a change of a subscription's status may set."""

    status: str
    paused_by: str
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


def pause(
    tx: Tx, actor: str, now: datetime, row: Subscription, reason: str, payment: PeriodRef | None = None
) -> int | None:
    """Nothing more is planned or sent; `payment` is the one whose dunning led to it.

    Returns how many notices were queued, or None if the subscription is not active any more.
    """
    paused_by = BY_DUNNING if payment is not None else ""
    status = SubscriptionStatus.PAUSED.value
    if not _set(tx, row, now, (SubscriptionStatus.ACTIVE,), status=status, paused_by=paused_by):
        return None
    record(tx, [event(now, actor, EventAction.SUBSCRIPTION_PAUSED, reason, subscription_id=row.id)])
    # The key names the instant or the payment: a subscription may be paused many times.
    return _notify(tx, NoticeKind.SUBSCRIPTION_PAUSED, row, now, f"{now:%Y%m%dT%H%M%S}", payment)


def resume(
    tx: Tx,
    actor: str,
    now: datetime,
    today: date,
    row: Subscription,
    reminders: ReminderSettings,
    reason: str,
) -> Resumed:
    """Billing goes on along the anchor from the next due date; the pause is not billed.

    Of what dunning held back, a period that covers today is charged, and an earlier one is not. Raises
    UsageError if no period is left, or if the subscription is not paused any more.
    """
    terms = terms_of(row)
    period = max(row.next_period, terms.first_period(today))
    due = terms.next_due_on(period)
    if due is None:
        raise UsageError(f"{row.reference} can't be resumed: no period is left before it ends")
    resumed = _set(
        tx,
        row,
        now,
        (SubscriptionStatus.PAUSED,),
        status=SubscriptionStatus.ACTIVE.value,
        paused_by="",
        resumed_on=today,
        next_period=period,
        next_due_on=due,
        next_remind_on=first_reminder_on(terms.interval, due, reminders),
    )
    if not resumed:
        raise UsageError(f"{row.reference} changed meanwhile; look at it again")
    detail = f"{reason}; next due {due}".removeprefix("; ")
    record(tx, [event(now, actor, EventAction.SUBSCRIPTION_RESUMED, detail, subscription_id=row.id)])
    released = _after_the_pause(tx, actor, now, today, row.id)
    queued = _notify(tx, NoticeKind.SUBSCRIPTION_RESUMED, row, now, f"{now:%Y%m%dT%H%M%S}", None)
    return Resumed(due, released, queued)


def _after_the_pause(tx: Tx, actor: str, now: datetime, today: date, subscription_id: int) -> int:
    """What the pause held back is sent if it covers today, else void; returns how many may be sent."""
    forget_pause(tx, subscription_id)
    held = held_back(tx, subscription_id)
    covering = [each for each in held if each.due_on <= today <= each.period_end_on]
    passed = [each for each in held if each not in covering]
    void(tx, actor, now, passed, "its period was over before the pause ended")
    return len(go_on(tx, actor, now, covering, "the pause is over"))


@dataclass(frozen=True, slots=True)
class Resumed:
    """The next due date, None if none is left; how many payments that dunning had held back may be sent;
    notices queued."""

    next_due_on: date | None
    released: int
    notices_queued: int


def end_paid_pauses(
    tx: Tx,
    actor: str,
    now: datetime,
    today: date,
    subscription_ids: Sequence[int],
    reminders: ReminderSettings,
) -> list[Resumed]:
    """Resume those that dunning has paused, once every payment that led to it is paid.

    One that has no period left has ended.
    """
    resumed = []
    for subscription_id in paid_up(tx, subscription_ids):
        row = get(tx, subscription_id)
        if terms_of(row).next_due_on(max(row.next_period, terms_of(row).first_period(today))) is None:
            resumed.append(_end_paid(tx, actor, now, today, row))
        else:
            resumed.append(resume(tx, actor, now, today, row, reminders, "what was open is paid"))
    return resumed


def _end_paid(tx: Tx, actor: str, now: datetime, today: date, row: Subscription) -> Resumed:
    ended = _set(
        tx,
        row,
        now,
        (SubscriptionStatus.PAUSED,),
        status=SubscriptionStatus.ENDED.value,
        paused_by="",
        next_due_on=None,
        next_remind_on=None,
    )
    if not ended:
        return Resumed(None, 0, 0)
    detail = "what was open is paid, and no period is left"
    record(tx, [event(now, actor, EventAction.SUBSCRIPTION_ENDED, detail, subscription_id=row.id)])
    return Resumed(None, _after_the_pause(tx, actor, now, today, row.id), 0)


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
    done = _set(
        tx,
        row,
        now,
        (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED),
        status=SubscriptionStatus.CANCELLED.value,
        paused_by="",
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
    if not _set(tx, row, now, (SubscriptionStatus.ACTIVE,), cancel_on=ends, next_remind_on=None):
        return None
    last_day = ends - timedelta(days=1)
    return Cancelled(last_day, 0, _tell_cancelled(tx, actor, now, row, last_day, reason, None))


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
    return _notify(tx, NoticeKind.SUBSCRIPTION_CANCELLED, row, now, last_day.isoformat(), payment, facts)


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


def _notify(
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


def _set(
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
