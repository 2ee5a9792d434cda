"""Payments: planning them, moving them along the table of states, and reading them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, case, func, select, update

from billing.core.states import NEEDS_A_PERSON, PaymentState, check_transition
from billing.store.bulk import insert_returning
from billing.store.models import attempts, payments, subscriptions

_P = payments.c

NOT_LOOKED: Mapping[str, Any] = {"absent_looks": 0, "absent_at": None, "look_step": 0, "next_look_at": None}
"""What becomes unknown is looked for from the start: an earlier proof that it was absent says nothing
about a create that may have come after it."""


def insert_payments(tx: Connection, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Insert new payments and answer their ids by marker.

    A period that already has its payment is left alone and missing from the answer: a conflict means
    that the work was done (getlago/lago-api#2681).
    """
    return {row.marker: row.id for row in insert_returning(tx, payments, rows, _P.id, _P.marker)}


def move(
    tx: Connection,
    ids: Sequence[int],
    old: PaymentState,
    new: PaymentState,
    now: datetime,
    **values: Any,
) -> int:
    """Compare-and-set: move those of `ids` that are still `old` to `new`; answers how many moved."""
    check_transition(old, new)
    if not ids:
        return 0
    fresh = NOT_LOOKED if new is PaymentState.UNKNOWN else {}
    statement = (
        update(payments)
        .where(_P.id.in_(ids), _P.state == old.value)
        .values({"state": new.value, "updated_at": now, **fresh, **values})
    )
    return tx.execute(statement).rowcount


def flag(tx: Connection, payment_id: int, attention: str, now: datetime) -> None:
    """Note what a person must look at; '' takes the note back."""
    tx.execute(update(payments).where(_P.id == payment_id).values(attention=attention, updated_at=now))


def planned_page(tx: Connection, today: date, after_id: int, limit: int) -> list[Row[Any]]:
    """Payments to be sent, with what their request needs, locked; due ≤ today is asserted again."""
    query = (
        select(
            _P.id,
            _P.subscription_id,
            _P.marker,
            _P.amount_micros,
            _P.due_on,
            _P.period_end_on,
            _P.attempts,
            subscriptions.c.reference,
            subscriptions.c.plan,
            subscriptions.c.name,
            subscriptions.c.email,
            subscriptions.c.wallet_address,
            subscriptions.c.status,
        )
        .join(subscriptions, subscriptions.c.id == _P.subscription_id)
        .where(_P.state == PaymentState.PLANNED.value, _P.due_on <= today, _P.id > after_id)
        .order_by(_P.id)
        .limit(limit)
        .with_for_update(of=payments, skip_locked=True)
    )
    return list(tx.execute(query))


def count_planned(tx: Connection, today: date, after_id: int = 0) -> int:
    query = select(func.count()).where(
        _P.state == PaymentState.PLANNED.value, _P.due_on <= today, _P.id > after_id
    )
    return tx.execute(query).scalar_one()


def find(tx: Connection, payment_id: int) -> Row[Any] | None:
    """One payment with its subscription's reference, plan, name and email; locked in a transaction."""
    query = _with_subscription().where(_P.id == payment_id).with_for_update(of=payments)
    return tx.execute(query).first()


ORDER = (_P.due_on, _P.id)
"""How lists of payments go."""


def listing(
    tx: Connection,
    states: Iterable[str] = (),
    subscription_id: int | None = None,
    attention: bool = False,
) -> Iterator[Row[Any]]:
    """Payments by due date with their subscriptions, streamed."""
    query = listed(states, subscription_id, attention).order_by(*ORDER)
    yield from tx.execute(query.execution_options(yield_per=500))


def listed(
    states: Iterable[str] = (), subscription_id: int | None = None, attention: bool = False
) -> Select[Any]:
    """The query for payments with their subscriptions, to be put into `ORDER`."""
    query = _with_subscription()
    if states := tuple(states):
        query = query.where(_P.state.in_(states))
    if subscription_id is not None:
        query = query.where(_P.subscription_id == subscription_id)
    if attention:
        query = query.where(_P.attention != "")
    return query


def _with_subscription() -> Select[Any]:
    s = subscriptions.c
    return select(payments, s.reference, s.plan, s.name, s.email, s.status.label("subscription_status")).join(
        subscriptions, s.id == _P.subscription_id
    )


def attempts_of(tx: Connection, payment_id: int) -> list[Row[Any]]:
    query = select(attempts).where(attempts.c.payment_id == payment_id).order_by(attempts.c.number)
    return list(tx.execute(query))


def last_due_on(tx: Connection, subscription_ids: Sequence[int]) -> dict[int, date]:
    """The latest due date that already has a payment, by subscription."""
    query = (
        select(_P.subscription_id, func.max(_P.due_on).label("due_on"))
        .where(_P.subscription_id.in_(subscription_ids))
        .group_by(_P.subscription_id)
    )
    return {row.subscription_id: row.due_on for row in tx.execute(query)}


def count_by_state(tx: Connection) -> dict[str, tuple[int, int]]:
    """How many payments are in each state, and their amount in micro-USDC."""
    query = select(_P.state, func.count(), func.sum(_P.amount_micros)).group_by(_P.state)
    return {state: (count, int(amount)) for state, count, amount in tx.execute(query)}


def needing_a_person(tx: Connection) -> int:
    """How many payments are rejected, unknown, held or parked, or flagged for attention."""
    states = [state.value for state in NEEDS_A_PERSON]
    by_state = select(func.count()).where(_P.state.in_(states))
    flagged = select(func.count()).where(_P.attention != "", _P.state.not_in(states))
    return tx.execute(by_state).scalar_one() + tx.execute(flagged).scalar_one()


def paid_sums(tx: Connection) -> tuple[int, int]:
    """Booked and open amounts, in micro-USDC."""
    paid = func.coalesce(func.sum(case((_P.state == "paid", _P.amount_micros), else_=0)), 0)
    open_ = func.coalesce(func.sum(case((_P.state == "open", _P.amount_micros), else_=0)), 0)
    row = tx.execute(select(paid, open_)).one()
    return int(row[0]), int(row[1])
