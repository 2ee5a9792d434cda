"""Which records at Mileston may come back by themselves, and what is noted of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import cast

from sqlalchemy import Select, exists, func, or_, select, update

from billing.core.event_text import EventAction
from billing.core.renewal import RENEWED
from billing.core.states import REMOTE, PaymentState, SubscriptionStatus
from billing.store.models import events, payments, subscriptions
from billing.store.rows import BeforeNext, MayRenew
from billing.store.tx import Tx

_P = payments.c
_S = subscriptions.c
_E = events.c
_REMOTE = [state.value for state in REMOTE]
_OVER = (SubscriptionStatus.CANCELLED.value, SubscriptionStatus.ENDED.value)
_COLUMNS = (
    _P.id,
    _P.subscription_id,
    _P.state,
    _P.remote_id,
    _P.marker,
    _P.due_on,
    _P.shown_on,
    _P.attention,
    _S.email,
    _S.status.label("subscription_status"),
    _S.next_due_on.label("next_charge_on"),
)
_next = payments.alias("next")
_between = payments.alias("between")


def before_next(
    tx: Tx, today: date, after_id: int, limit: int, *, paid: bool = False, stopped: bool | None = None
) -> list[BeforeNext]:
    """The payments before those that are about to be sent, by `next_id`; each with its record.

    `paid`: only booked ones; `stopped`: only those whose interval was changed, or was not.
    """
    nearest = ~exists().where(
        _between.c.subscription_id == _P.subscription_id,
        _between.c.due_on > _P.due_on,
        _between.c.due_on < _next.c.due_on,
        _between.c.remote_id.is_not(None),
        _between.c.state.in_(_REMOTE),
    )
    query = (
        select(
            *_COLUMNS,
            _next.c.id.label("next_id"),
            _next.c.marker.label("next_marker"),
            _next.c.due_on.label("next_due_on"),
            exists()
            .where(_E.payment_id == _next.c.id, _E.action == EventAction.RELEASED.value)
            .label("let_go"),
        )
        .join(_next, _next.c.subscription_id == _P.subscription_id)
        .join(subscriptions, _S.id == _P.subscription_id)
        .where(
            _next.c.state == PaymentState.PLANNED.value,
            _next.c.due_on <= today,
            _next.c.id > after_id,
            _P.due_on < _next.c.due_on,
            _P.remote_id.is_not(None),
            _P.state.in_([PaymentState.PAID.value] if paid else _REMOTE),
            nearest,
        )
        .order_by(_next.c.id)
        .limit(limit)
    )
    if stopped is not None:
        query = query.where(_P.renewal_off_at.is_not(None) if stopped else _P.renewal_off_at.is_(None))
    return cast("list[BeforeNext]", list(tx.execute(query)))


def after_unknown(tx: Tx, today: date) -> dict[int, int]:
    """Payments about to be sent, each with an earlier one of its subscription that may exist at Mileston."""
    query = (
        select(_next.c.id, _P.id)
        .join(_next, _next.c.subscription_id == _P.subscription_id)
        .where(
            _P.state == PaymentState.UNKNOWN.value,
            _next.c.state == PaymentState.PLANNED.value,
            _next.c.due_on <= today,
            _P.due_on < _next.c.due_on,
        )
        .order_by(_next.c.id, _P.id)
    )
    return {row[0]: row[1] for row in tx.execute(query)}


def to_stop(tx: Tx, today: date, after_id: int, limit: int) -> list[MayRenew]:
    """Payments whose records are to come back never: what is paid, what has ended, and what ends tomorrow.

    One that is paid after its period might come back at once.
    """
    query = _to_stop(today, after_id).order_by(_P.id).limit(limit)
    return cast("list[MayRenew]", list(tx.execute(query)))


def count_to_stop(tx: Tx, today: date) -> int:
    return tx.execute(select(func.count()).select_from(_to_stop(today, 0).subquery())).scalar_one()


def count_renewed(tx: Tx) -> int:
    """How many payments are flagged because their records came back."""
    flagged = _P.attention.startswith(RENEWED, autoescape=True)
    return tx.execute(select(func.count()).where(_P.attention != "", flagged)).scalar_one()


def _to_stop(today: date, after_id: int) -> Select[tuple[object, ...]]:
    over = or_(_S.status.in_(_OVER), _P.period_end_on <= today + timedelta(days=1))
    return (
        select(*_COLUMNS)
        .join(subscriptions, _S.id == _P.subscription_id)
        .where(
            _P.renewal_off_at.is_(None),
            _P.remote_id.is_not(None),
            _P.state.in_(_REMOTE) & or_(_P.state == PaymentState.PAID.value, over),
            ~_P.attention.startswith(RENEWED, autoescape=True),
            _P.id > after_id,
        )
    )


def state_of_period(tx: Tx, subscription_id: int, due_on: date) -> str | None:
    """The state of the payment of a subscription that is due then, if there is one."""
    query = select(_P.state).where(_P.subscription_id == subscription_id, _P.due_on == due_on)
    return tx.execute(query).scalar()


def mark_off(tx: Tx, ids: Sequence[int], now: datetime) -> None:
    """The records of these will not come back: their interval was changed, or they are gone."""
    if ids:
        tx.execute(update(payments).where(_P.id.in_(ids)).values(renewal_off_at=now))


def came_back(tx: Tx, ids: Sequence[int]) -> None:
    """These came back although their interval was changed: they are looked at like those never stopped."""
    if ids:
        tx.execute(update(payments).where(_P.id.in_(ids)).values(renewal_off_at=None))
