"""What does not exist at Mileston takes the price that is agreed now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Protocol

from sqlalchemy import Select, select, update

from billing.core.event_text import EventAction
from billing.core.money import format_amount
from billing.core.periods import Interval, Unit
from billing.core.states import UNSENT
from billing.store.events import about_payment, record
from billing.store.models import payments
from billing.store.rows import PaymentInState, PlannedPayment
from billing.store.tx import Tx

_P = payments.c
_CLAMPED_DAYS = 3
"""A month has up to three days more than February."""


class _Priced(PaymentInState, Protocol):
    @property
    def amount_micros(self) -> int: ...
    @property
    def due_on(self) -> date: ...


def reprice(
    tx: Tx,
    actor: str,
    now: datetime,
    subscription_id: int,
    amount_micros: int,
    due_from: date | None = None,
) -> list[str]:
    """A new price is agreed, for payments due from a day on; returns a sentence for each that takes it."""
    query = _unsent(subscription_id).where(_P.amount_micros != amount_micros)
    if due_from is not None:
        query = query.where(_P.due_on >= due_from)
    rows = tx.execute(query.with_for_update())
    return _take(tx, actor, now, list(rows), amount_micros)


def kept_prices(tx: Tx, subscription_id: int) -> list[str]:
    """A sentence for each payment that is not at Mileston and keeps the price of its own period."""
    return [
        f"the {row.state} payment due {row.due_on} keeps {format_amount(row.amount_micros)} USDC: its period "
        "is of the interval before"
        for row in tx.execute(_unsent(subscription_id))
    ]


def _unsent(subscription_id: int) -> Select[Any]:
    columns = (_P.id, _P.subscription_id, _P.amount_micros, _P.state, _P.due_on)
    unsent = (_P.subscription_id == subscription_id) & _P.state.in_([state.value for state in UNSENT])
    return select(*columns).where(unsent).order_by(_P.due_on)


def catch_up_price(tx: Tx, actor: str, now: datetime, rows: Sequence[PlannedPayment]) -> int:
    """Planned payments whose price was changed while they were being sent, and that were not sent after all.

    Returns how many took the new one. The caller holds their locks.
    """
    late = [row for row in rows if row.amount_micros != row.agreed_micros and _is_of_this_price(row)]
    return sum(len(_take(tx, actor, now, [row], row.agreed_micros)) for row in late)


def _is_of_this_price(row: PlannedPayment) -> bool:
    """Whether the price of now is for periods as late and as long as its own, give or take a month end."""
    if row.price_from is not None and row.due_on < row.price_from:
        return False
    interval = Interval(row.interval_count, Unit(row.interval_unit))
    days = (row.period_end_on - row.due_on).days + 1
    return interval.shortest_days <= days <= interval.shortest_days + _CLAMPED_DAYS


def _take(tx: Tx, actor: str, now: datetime, rows: Sequence[_Priced], amount_micros: int) -> list[str]:
    if not rows:
        return []
    statement = (
        update(payments)
        .where(_P.id.in_([row.id for row in rows]), _P.state.in_([state.value for state in UNSENT]))
        .values(amount_micros=amount_micros, updated_at=now)
        .returning(_P.id)
    )
    moved = set(tx.execute(statement).scalars())
    new = format_amount(amount_micros)
    told = [
        (row, f"{format_amount(row.amount_micros)} USDC -> {new} USDC") for row in rows if row.id in moved
    ]
    record(
        tx,
        [about_payment(now, actor, EventAction.CHANGED, row, f"amount: {change}") for row, change in told],
    )
    return [f"the {row.state} payment due {row.due_on}: {change}" for row, change in told]
