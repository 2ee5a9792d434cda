"""What does not exist at Mileston takes the price that is agreed now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from sqlalchemy import select, update

from billing.core.event_text import EventAction
from billing.core.money import format_amount
from billing.core.states import UNSENT
from billing.store.events import about_payment, record
from billing.store.models import payments
from billing.store.rows import PaymentInState, PlannedPayment
from billing.store.tx import Tx

_P = payments.c


class _Priced(PaymentInState, Protocol):
    @property
    def amount_micros(self) -> int: ...
    @property
    def due_on(self) -> date: ...


def reprice(tx: Tx, actor: str, now: datetime, subscription_id: int, amount_micros: int) -> list[str]:
    """A new price is agreed; returns a sentence for each payment that takes it."""
    unsent = (_P.subscription_id == subscription_id) & _P.state.in_([state.value for state in UNSENT])
    query = select(_P.id, _P.subscription_id, _P.amount_micros, _P.state, _P.due_on).where(
        unsent, _P.amount_micros != amount_micros
    )
    rows = list(tx.execute(query.order_by(_P.due_on).with_for_update()))
    return _take(tx, actor, now, rows, amount_micros)


def catch_up_price(tx: Tx, actor: str, now: datetime, rows: Sequence[PlannedPayment]) -> int:
    """Planned payments whose price was changed while they were being sent, and that were not sent after all.

    Returns how many took the new one. The caller holds their locks.
    """
    late = [row for row in rows if row.amount_micros != row.agreed_micros]
    return sum(len(_take(tx, actor, now, [row], row.agreed_micros)) for row in late)


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
