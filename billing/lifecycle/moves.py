"""The compare-and-set under every verb of a payment: along the table of states, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TypedDict, Unpack

from sqlalchemy import update

from billing.core.states import PaymentState, check_transition
from billing.store.models import payments
from billing.store.tx import Tx

_P = payments.c


class PaymentValues(TypedDict, total=False):
    """What a change of state may set besides the state."""

    amount_micros: int
    cause: str
    attention: str
    run_id: str | None
    lease_until: datetime | None
    deadline_at: datetime | None
    remote_id: str | None
    absent_looks: int
    absent_at: datetime | None
    look_step: int
    next_look_at: datetime | None
    looked_at: datetime | None
    looked_run_id: str | None
    paid_at: datetime | None
    next_dun_on: date | None
    period_end_on: date
    shown_on: date | None


NOT_LOOKED: PaymentValues = {"absent_looks": 0, "absent_at": None, "look_step": 0, "next_look_at": None}
"""What becomes unknown is looked for from the start: an earlier proof that it was absent says nothing
about a create that may have come after it."""


def move(
    tx: Tx,
    ids: Sequence[int],
    old: PaymentState,
    new: PaymentState,
    now: datetime,
    **values: Unpack[PaymentValues],
) -> set[int]:
    """Move those of `ids` that are still `old` to `new`; returns the ids of those that moved.

    For the verbs of this layer alone. Raises IllegalTransition if the table does not join the states.
    """
    check_transition(old, new)
    if not ids:
        return set()
    fresh = NOT_LOOKED if new is PaymentState.UNKNOWN else {}
    statement = (
        update(payments)
        .where(_P.id.in_(ids), _P.state == old.value)
        .values({**fresh, **values, "state": new.value, "updated_at": now})
        .returning(_P.id)
    )
    return set(tx.execute(statement).scalars())


def set_values(tx: Tx, payment_id: int, now: datetime, **values: Unpack[PaymentValues]) -> bool:
    """Set columns of a payment whose state stays as it is; returns whether it is there."""
    statement = update(payments).where(_P.id == payment_id).values({**values, "updated_at": now})
    return bool(tx.execute(statement).rowcount)
