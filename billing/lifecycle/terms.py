"""The terms of a subscription are put: by import, and by whatever else agrees on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Protocol, TypedDict

from billing.core.event_text import EventAction
from billing.core.periods import Interval
from billing.core.reminders import ReminderSettings, first_reminder_on
from billing.core.schedule import Terms
from billing.core.states import SubscriptionStatus
from billing.store import payments, subscriptions
from billing.store.bulk import upsert_rows
from billing.store.events import event, record
from billing.store.models import subscriptions as table
from billing.store.rows import Subscription
from billing.store.tx import Tx


class Agreement(Protocol):
    """What a subscriber agreed on. `amount` is in micro-USDC; `starts_on` is the anchor."""

    @property
    def reference(self) -> str: ...
    @property
    def plan(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def amount(self) -> int: ...
    @property
    def interval(self) -> Interval: ...
    @property
    def starts_on(self) -> date: ...
    @property
    def bill_from(self) -> date | None: ...
    @property
    def ends_on(self) -> date | None: ...
    @property
    def wallet_address(self) -> str | None: ...
    @property
    def locale(self) -> str | None: ...


class StoredTerms(TypedDict):
    """The row that an agreement becomes."""

    reference: str
    plan: str
    name: str
    email: str
    amount_micros: int
    interval_count: int
    interval_unit: str
    anchor_on: date
    bill_from: date | None
    ends_on: date | None
    wallet_address: str | None
    locale: str | None
    status: str
    cancel_on: date | None
    next_period: int
    next_due_on: date | None
    next_remind_on: date | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Put:
    """The references that were added and changed, and how many were as they are already."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: int = 0


_KEPT = ("id", "created_at")
_TIMES = ("created_at", "updated_at")


def put(tx: Tx, actor: str, now: datetime, batch: Sequence[Agreement], reminders: ReminderSettings) -> Put:
    """Add what is new by its reference, and change what is known; a known one is never billed backwards."""
    known = subscriptions.by_references(tx, [row.reference for row in batch])
    billed = payments.last_due_on(tx, [row.id for row in known.values()]) if known else {}
    stored: list[StoredTerms] = []
    added, changed, lines, unchanged = [], [], [], 0
    for row in batch:
        old = known.get(row.reference)
        new = _stored(row, old, billed.get(old.id) if old is not None else None, reminders, now)
        if old is None:
            added.append(row.reference)
        elif all(getattr(old, key) == value for key, value in new.items() if key not in _TIMES):
            unchanged += 1
            continue
        else:
            changed.append(row.reference)
            lines.append(event(now, actor, EventAction.CHANGED, "imported again", subscription_id=old.id))
        stored.append(new)
    upsert_rows(tx, table, stored, "reference", _KEPT)
    if added:
        ids = subscriptions.ids_of(tx, added)
        lines += [event(now, actor, EventAction.ADDED, "imported", subscription_id=row_id) for row_id in ids]
    record(tx, lines)
    return Put(added, changed, unchanged)


# Of a hundred thousand subscriptions few have a calendar of their own.
_first_period = lru_cache(maxsize=4096)(Terms.first_period)
_next_due_on = lru_cache(maxsize=4096)(Terms.next_due_on)


def _floor(old: Subscription | None, last_billed: date | None) -> date | None:
    """The first day that changed terms may bill: after all that was billed, or passed over by a pause."""
    passed = [last_billed] if last_billed else []
    if old is not None:
        terms = subscriptions.terms_of(old)
        if old.next_period > terms.first_period():
            passed.append(terms.due_on(old.next_period - 1))
    return max(passed) + timedelta(days=1) if passed else None


def _stored(
    row: Agreement,
    old: Subscription | None,
    last_billed: date | None,
    reminders: ReminderSettings,
    now: datetime,
) -> StoredTerms:
    """What is stored for a line. A known subscription keeps its status and is never billed backwards."""
    cancel_on = old.cancel_on if old is not None else None
    terms = Terms(row.starts_on, row.interval, row.bill_from, row.ends_on, cancel_on)
    status = old.status if old is not None else SubscriptionStatus.ACTIVE.value
    if old is not None and subscriptions.terms_of(old) == terms:
        period = old.next_period
    else:
        period = _first_period(terms, _floor(old, last_billed))
    next_due = _next_due_on(terms, period)
    if status == SubscriptionStatus.CANCELLED:
        next_due = None
    elif cancel_on is not None:
        next_due = next_due or cancel_on  # it comes up once more then, to be cancelled
    elif status != SubscriptionStatus.PAUSED:
        status = (SubscriptionStatus.ENDED if next_due is None else SubscriptionStatus.ACTIVE).value
    stored: StoredTerms = {
        "reference": row.reference,
        "plan": row.plan,
        "name": row.name,
        "email": row.email,
        "amount_micros": row.amount,
        "interval_count": row.interval.count,
        "interval_unit": row.interval.unit.value,
        "anchor_on": row.starts_on,
        "bill_from": row.bill_from,
        "ends_on": row.ends_on,
        "wallet_address": row.wallet_address,
        "locale": row.locale,
        "status": status,
        "cancel_on": cancel_on,
        "next_period": period,
        "next_due_on": next_due,
        "next_remind_on": None,
        "created_at": old.created_at if old is not None else now,
        "updated_at": now,
    }
    if old is not None and old.next_due_on == next_due and next_due is not None:
        stored["next_remind_on"] = old.next_remind_on
    elif next_due is not None and cancel_on is None:
        stored["next_remind_on"] = first_reminder_on(row.interval, next_due, reminders)
    return stored
