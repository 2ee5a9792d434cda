"""What dunning does to payments: given up, waited for, and let go on.

mark_uncollectible -> uncollectible     go_on: held -> planned
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, cast

from sqlalchemy import Select, exists, select, update

from billing.core.event_text import EventAction
from billing.core.reasons import HELD_BACK
from billing.core.states import PaymentState, SubscriptionStatus
from billing.lifecycle.moves import move
from billing.store.events import about_payment, record
from billing.store.models import payments, subscriptions
from billing.store.rows import HeldBack, PaymentRef
from billing.store.tx import Tx

_P, _S = payments.c, subscriptions.c
BY_DUNNING = "dunning"
"""Who paused a subscription, if it was not a person."""


def mark_uncollectible(tx: Tx, actor: str, now: datetime, row: PaymentRef, days: int) -> bool:
    """An open payment that stayed unpaid for `days`; returns whether it was still open."""
    if not move(tx, [row.id], PaymentState.OPEN, PaymentState.UNCOLLECTIBLE, now, next_dun_on=None):
        return False
    plural = "" if days == 1 else "s"
    record(tx, [about_payment(now, actor, EventAction.UNCOLLECTIBLE, row, f"unpaid for {days} day{plural}")])
    return True


def note_pause(tx: Tx, payment_ids: Sequence[int]) -> None:
    """Dunning's pause of their subscription waits for these to be paid."""
    tx.execute(update(payments).where(_P.id.in_(payment_ids)).values(led_to_pause=1))


def forget_pause(tx: Tx, subscription_id: int) -> None:
    """The subscription goes on, or ended: no payment holds it any more."""
    held = (_P.subscription_id == subscription_id) & (_P.led_to_pause == 1)
    tx.execute(update(payments).where(held).values(led_to_pause=0))


def go_on(tx: Tx, actor: str, now: datetime, rows: Sequence[HeldBack], reason: str) -> list[HeldBack]:
    """Payments that were held back for dunning's sake may be sent; returns those that moved."""
    moved = move(tx, [row.id for row in rows], PaymentState.HELD, PaymentState.PLANNED, now, cause="")
    released = [row for row in rows if row.id in moved]
    record(tx, [about_payment(now, actor, EventAction.RELEASED, row, reason) for row in released])
    return released


def held_back(tx: Tx, subscription_id: int) -> list[HeldBack]:
    """What was held for the sake of a subscription's dunning, oldest first."""
    query = _held_back().where(_P.subscription_id == subscription_id)
    return cast("list[HeldBack]", list(tx.execute(query)))


def held_for_nothing(tx: Tx, today: date) -> list[HeldBack]:
    """What was held back although no final action came: the subscription is active, and nothing is due."""
    other = payments.alias()
    still_due = exists().where(
        other.c.subscription_id == _P.subscription_id,
        other.c.state == PaymentState.OPEN.value,
        other.c.next_dun_on <= today,
    )
    query = (
        _held_back()
        .join(subscriptions, _S.id == _P.subscription_id)
        .where(_S.status == SubscriptionStatus.ACTIVE.value, ~still_due)
    )
    return cast("list[HeldBack]", list(tx.execute(query)))


def _held_back() -> Select[Any]:
    columns = (_P.id, _P.subscription_id, _P.state, _P.due_on, _P.period_end_on, _P.created_at)
    return select(*columns).where(_P.state == PaymentState.HELD.value, _P.cause == HELD_BACK).order_by(_P.id)


def waiting_though_paid(tx: Tx) -> list[str]:
    """The references of those that dunning has paused and that owe nothing any more: a person resumes them.

    So it is with `dunning.when_paid = "ask"`.
    """
    led = exists().where(_P.subscription_id == _S.id, _P.led_to_pause == 1)
    unpaid = exists().where(
        _P.subscription_id == _S.id, _P.led_to_pause == 1, _P.state != PaymentState.PAID.value
    )
    query = select(_S.reference).where(_S.paused_by != "", _S.paused_by == BY_DUNNING, led, ~unpaid)
    return list(tx.execute(query.order_by(_S.id)).scalars())


def paid_up(tx: Tx, subscription_ids: Sequence[int]) -> list[int]:
    """Those that dunning has paused, and of which every payment that led to it is paid."""
    unpaid = exists().where(
        _P.subscription_id == _S.id, _P.led_to_pause == 1, _P.state != PaymentState.PAID.value
    )
    query = select(_S.id).where(
        _S.id.in_(subscription_ids),
        _S.status == SubscriptionStatus.PAUSED.value,
        _S.paused_by == BY_DUNNING,
        ~unpaid,
    )
    return list(tx.execute(query.order_by(_S.id)).scalars())
