"""What a cycle would create and mail, found without touching anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from billing.config import Settings
from billing.core.money import format_amount
from billing.core.states import NoticeKind, PaymentState
from billing.cycle import plan, remind
from billing.lifecycle.notices import dedupe_key
from billing.store import payments, subscriptions
from billing.store.notices import was_queued
from billing.store.rows import DueSubscription
from billing.store.subscriptions import terms_of
from billing.store.tx import Tx

_PAGE = 500


@dataclass(frozen=True, slots=True)
class WouldCreate:
    subscription: str
    due_on: date
    amount_micros: int
    held: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "subscription": self.subscription,
            "due_on": self.due_on.isoformat(),
            "amount": format_amount(self.amount_micros),
            "held": self.held,
        }


@dataclass(frozen=True, slots=True)
class WouldMail:
    kind: NoticeKind
    subscription: str
    due_on: date

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "subscription": self.subscription,
            "due_on": self.due_on.isoformat(),
        }


def would_create(tx: Tx, settings: Settings, today: date) -> Iterator[WouldCreate]:
    """Left-over payments first, then every period that planning would charge or hold."""
    for row in payments.listing(tx, [PaymentState.PLANNED]):
        if row.due_on <= today:
            yield WouldCreate(row.reference, row.due_on, row.amount_micros, held=False)
    after = None
    while dues := subscriptions.due_page(tx, today, _PAGE, after):
        for due in dues:
            for period in plan.decide(due, settings, today).plan.periods:
                yield WouldCreate(due.reference, period.due_on, due.amount_micros, period.held)
        after = (dues[-1].next_due_on, dues[-1].id)


def would_mail(tx: Tx, settings: Settings, today: date) -> Iterator[WouldMail]:
    """Notices of the payments that would be created, and the reminders of those that come next.

    Receipts and overdue notices depend on what the API says, so they are not predicted.
    """
    for create in would_create(tx, settings, today):
        if not create.held:
            yield WouldMail(NoticeKind.PAYMENT_CREATED, create.subscription, create.due_on)
    for row, due in _next_dues(tx, settings, today):
        interval = terms_of(row).interval
        send = remind.decide_for(interval, due, settings, today)[0]
        key = dedupe_key(NoticeKind.NEXT_PAYMENT_DUE, row.reference, due, f"d{send}")
        if send is not None and not was_queued(tx, key):
            yield WouldMail(NoticeKind.NEXT_PAYMENT_DUE, row.reference, due)


def _next_dues(tx: Tx, settings: Settings, today: date) -> Iterator[tuple[DueSubscription, date]]:
    """Active subscriptions with the due date that will be their next after this cycle."""
    after_id = 0
    while rows := subscriptions.active_page(tx, after_id, _PAGE):
        for row in rows:
            due: date | None = row.next_due_on
            if row.next_due_on <= today:
                due = plan.decide(row, settings, today).plan.next_due_on
            if due is not None and row.cancel_on is None:
                yield row, due
        after_id = rows[-1].id
