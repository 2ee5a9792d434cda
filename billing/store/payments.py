"""Payments as they are read; what changes them stands in `lifecycle`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, case, exists, func, select

from billing.core.states import PaymentState
from billing.core.throttle import SLOW_DOWN
from billing.store.models import attempts, payments, subscriptions
from billing.store.paging import Listing
from billing.store.rows import Attempt, FirstSending, Payment, PaymentOfSubscription, Period, PlannedPayment
from billing.store.tx import Tx

_P = payments.c


def planned_page(
    tx: Tx, today: date, after_id: int, limit: int, among: Sequence[int] | None = None
) -> list[PlannedPayment]:
    """Payments to be sent, with what their request needs, locked; due ≤ today is asserted again."""
    query = (
        select(
            _P.id,
            _P.subscription_id,
            _P.state,
            _P.marker,
            _P.amount_micros,
            _P.due_on,
            _P.period_end_on,
            _P.attempts,
            _P.absent_looks,
            _P.absent_at,
            subscriptions.c.amount_micros.label("agreed_micros"),
            subscriptions.c.price_from,
            subscriptions.c.reference,
            subscriptions.c.plan,
            subscriptions.c.name,
            subscriptions.c.email,
            subscriptions.c.wallet_address,
            subscriptions.c.status,
            subscriptions.c.paused_by,
            subscriptions.c.interval_count,
            subscriptions.c.interval_unit,
        )
        .join(subscriptions, subscriptions.c.id == _P.subscription_id)
        .where(_P.state == PaymentState.PLANNED.value, _P.due_on <= today, _P.id > after_id)
        .order_by(_P.id)
        .limit(limit)
        .with_for_update(of=payments, skip_locked=True)
    )
    if among is not None:
        query = query.where(_P.id.in_(among))
    return cast("list[PlannedPayment]", list(tx.execute(query)))


def was_slowed_down(tx: Tx, today: date) -> bool:
    """Whether the API asked to slow down when one that is about to be sent was sent before."""
    again = (_P.state == PaymentState.PLANNED.value) & (_P.due_on <= today) & (_P.attempts > 0)
    asked = attempts.c.status.in_(sorted(SLOW_DOWN))
    query = select(exists().where(again, attempts.c.payment_id == _P.id, asked))
    return bool(tx.execute(query).scalar())


def count_planned(tx: Tx, today: date, after_id: int = 0) -> int:
    query = select(func.count()).where(
        _P.state == PaymentState.PLANNED.value, _P.due_on <= today, _P.id > after_id
    )
    return tx.execute(query).scalar_one()


def count_left_unsent(tx: Tx, today: date, since: datetime) -> int:
    """Payments due by `today` that have been planned, unchanged, since an instant (a run's end) or before."""
    planned = _P.state == PaymentState.PLANNED.value
    query = select(func.count()).where(planned, _P.due_on <= today, _P.updated_at <= since)
    return tx.execute(query).scalar_one()


def find(tx: Tx, payment_id: int) -> PaymentOfSubscription | None:
    """One payment with its subscription's reference, plan, name and email; locked in a transaction."""
    query = _with_subscription().where(_P.id == payment_id).with_for_update(of=payments)
    return cast("PaymentOfSubscription | None", tx.execute(query).first())


def listing(
    tx: Tx,
    states: Iterable[str] = (),
    subscription_id: int | None = None,
    attention: bool = False,
) -> Iterator[PaymentOfSubscription]:
    """Payments by due date with their subscriptions, streamed."""
    yield from listed(states, subscription_id, attention).rows(tx)


def listed(
    states: Iterable[str] = (),
    subscription_id: int | None = None,
    attention: bool = False,
    *,
    causes: Iterable[str] = (),
    only: ColumnElement[bool] | None = None,
    reference: str | None = None,
    since: date | None = None,
) -> Listing[PaymentOfSubscription]:
    """Payments by due date with their subscriptions; `since` is the first due date."""
    query = _with_subscription()
    if states := tuple(states):
        query = query.where(_P.state.in_(states))
    if subscription_id is not None:
        query = query.where(_P.subscription_id == subscription_id)
    if attention:
        query = query.where(_P.attention != "")
    if causes := tuple(causes):
        query = query.where(_P.cause.in_(causes))
    if only is not None:
        query = query.where(only)
    if reference is not None:
        query = query.where(subscriptions.c.reference == reference)
    if since is not None:
        query = query.where(_P.due_on >= since)
    return Listing(query, (_P.due_on, _P.id))


def _with_subscription() -> Select[Any]:
    s = subscriptions.c
    return select(payments, s.reference, s.plan, s.name, s.email, s.status.label("subscription_status")).join(
        subscriptions, s.id == _P.subscription_id
    )


def attempts_of(tx: Tx, payment_id: int) -> list[Attempt]:
    query = select(attempts).where(attempts.c.payment_id == payment_id).order_by(attempts.c.number)
    return cast("list[Attempt]", list(tx.execute(query)))


CHARGED = (
    PaymentState.PLANNED,
    PaymentState.SENDING,
    PaymentState.OPEN,
    PaymentState.UNKNOWN,
    PaymentState.PARKED,
    PaymentState.HELD,
    PaymentState.PAID,
)
"""States in which the days of a payment's period are charged; one that was given up charges none."""


def charged_through(tx: Tx, subscription_ids: Sequence[int]) -> dict[int, date]:
    """The last day that is charged, by subscription."""
    query = (
        select(_P.subscription_id, func.max(_P.period_end_on).label("day"))
        .where(_P.subscription_id.in_(subscription_ids), _P.state.in_([state.value for state in CHARGED]))
        .group_by(_P.subscription_id)
    )
    return {row.subscription_id: row.day for row in tx.execute(query)}


def rejected_across(tx: Tx, subscription_id: int, day: date) -> list[Payment]:
    """Rejected payments whose period begins before this day and has not ended then; locked."""
    query = select(payments).where(
        _P.subscription_id == subscription_id,
        _P.state == PaymentState.REJECTED.value,
        _P.due_on < day,
        _P.period_end_on >= day,
    )
    return cast("list[Payment]", list(tx.execute(query.order_by(_P.due_on).with_for_update())))


def about_to_be_sent(tx: Tx, today: date, days: Sequence[date]) -> list[FirstSending]:
    """Planned payments that were never attempted, due on one of these days."""
    found: list[FirstSending] = []
    for i in range(0, len(days), 500):
        query = (
            select(_P.id, _P.subscription_id, _P.state, _P.due_on, _P.amount_micros, subscriptions.c.email)
            .join(subscriptions, subscriptions.c.id == _P.subscription_id)
            .where(
                _P.state == PaymentState.PLANNED.value,
                _P.attempts == 0,
                _P.due_on <= today,
                _P.due_on.in_(days[i : i + 500]),
            )
        )
        found += cast("list[FirstSending]", list(tx.execute(query.order_by(_P.id))))
    return found


def charging(tx: Tx, subscription_id: int, first_on: date, last_on: date, but_id: int) -> Period | None:
    """Another payment that charges some of these days, or None."""
    query = select(_P.id, _P.due_on, _P.period_end_on).where(
        _P.subscription_id == subscription_id,
        _P.state.in_([state.value for state in CHARGED]),
        _P.due_on <= last_on,
        _P.period_end_on >= first_on,
        _P.id != but_id,
    )
    return cast("Period | None", tx.execute(query.order_by(_P.due_on).limit(1)).first())


def never_charged(tx: Tx, subscription_id: int, from_on: date) -> dict[date, str]:
    """The states of void and uncollectible payments, by due date from `from_on` on: those dates are taken."""
    query = (
        select(_P.due_on, _P.state)
        .where(
            _P.subscription_id == subscription_id,
            _P.due_on >= from_on,
            _P.state.in_([PaymentState.VOID.value, PaymentState.UNCOLLECTIBLE.value]),
        )
        .order_by(_P.due_on)
    )
    return {row.due_on: row.state for row in tx.execute(query)}


def count_by_state(tx: Tx) -> dict[str, tuple[int, int]]:
    """How many payments are in each state, and their amount in micro-USDC."""
    query = select(_P.state, func.count(), func.sum(_P.amount_micros)).group_by(_P.state)
    return {state: (count, int(amount)) for state, count, amount in tx.execute(query)}


def paid_sums(tx: Tx) -> tuple[int, int]:
    """Booked and open amounts, in micro-USDC."""
    paid = func.coalesce(func.sum(case((_P.state == "paid", _P.amount_micros), else_=0)), 0)
    open_ = func.coalesce(func.sum(case((_P.state == "open", _P.amount_micros), else_=0)), 0)
    row = tx.execute(select(paid, open_)).one()
    return int(row[0]), int(row[1])
