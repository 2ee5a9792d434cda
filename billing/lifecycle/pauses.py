"""Pauses: how they begin, and how they end by a person's word, by their day, or by payment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from billing.core.event_text import EventAction
from billing.core.reminders import ReminderSettings, first_reminder_on
from billing.core.states import NoticeKind, SubscriptionStatus
from billing.errors import UsageError
from billing.lifecycle.dunning import BY_DUNNING, forget_pause, go_on, held_back, paid_up
from billing.lifecycle.payments import void
from billing.lifecycle.subscriptions import notify, set_status
from billing.store.events import event, record
from billing.store.rows import PeriodRef, Subscription
from billing.store.subscriptions import get, over_pauses, terms_of
from billing.store.tx import Tx


def pause(
    tx: Tx,
    actor: str,
    now: datetime,
    row: Subscription,
    reason: str,
    payment: PeriodRef | None = None,
    until: date | None = None,
) -> int | None:
    """Nothing more is planned or sent; `payment` is the one whose dunning led to it.

    Without `until` it goes on only when somebody says so. Returns how many notices were queued, or None if
    the subscription is not active any more.
    """
    paused_by = BY_DUNNING if payment is not None else ""
    status = SubscriptionStatus.PAUSED.value
    active = (SubscriptionStatus.ACTIVE,)
    if not set_status(tx, row, now, active, status=status, paused_by=paused_by, paused_until=until):
        return None
    detail = reason if until is None else f"{reason}; until {until}".removeprefix("; ")
    record(tx, [event(now, actor, EventAction.SUBSCRIPTION_PAUSED, detail, subscription_id=row.id)])
    # The key names the instant or the payment: a subscription may be paused many times.
    return notify(tx, NoticeKind.SUBSCRIPTION_PAUSED, row, now, f"{now:%Y%m%dT%H%M%S}", payment)


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
    resumed = set_status(
        tx,
        row,
        now,
        (SubscriptionStatus.PAUSED,),
        status=SubscriptionStatus.ACTIVE.value,
        paused_by="",
        paused_until=None,
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
    queued = notify(tx, NoticeKind.SUBSCRIPTION_RESUMED, row, now, f"{now:%Y%m%dT%H%M%S}", None)
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
            resumed.append(_end(tx, actor, now, today, row, "what was open is paid, and no period is left"))
        else:
            resumed.append(resume(tx, actor, now, today, row, reminders, "what was open is paid"))
    return resumed


def end_pauses(tx: Tx, actor: str, now: datetime, today: date, reminders: ReminderSettings) -> list[Resumed]:
    """Resume those whose pause was to end by `today`. One that has no period left has ended."""
    resumed = []
    for row in over_pauses(tx, today):
        terms = terms_of(row)
        if terms.next_due_on(max(row.next_period, terms.first_period(today))) is None:
            resumed.append(_end(tx, actor, now, today, row, "the pause is over, and no period is left"))
        else:
            resumed.append(resume(tx, actor, now, today, row, reminders, "the pause is over"))
    return resumed


def _end(tx: Tx, actor: str, now: datetime, today: date, row: Subscription, why: str) -> Resumed:
    ended = set_status(
        tx,
        row,
        now,
        (SubscriptionStatus.PAUSED,),
        status=SubscriptionStatus.ENDED.value,
        paused_by="",
        paused_until=None,
        next_due_on=None,
        next_remind_on=None,
    )
    if not ended:
        return Resumed(None, 0, 0)
    record(tx, [event(now, actor, EventAction.SUBSCRIPTION_ENDED, why, subscription_id=row.id)])
    return Resumed(None, _after_the_pause(tx, actor, now, today, row.id), 0)
