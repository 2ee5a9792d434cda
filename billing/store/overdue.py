"""What dunning reads: overdue payments, the mail that told of each, and what a subscription still owes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from typing import Any, cast

from sqlalchemy import Select, or_, select, update

from billing.core.states import PaymentState
from billing.store.models import notices, payments, subscriptions
from billing.store.rows import OverduePayment, OwedPayment
from billing.store.tx import Tx

_P = payments.c
_OPEN = PaymentState.OPEN.value


def overdue_page(tx: Tx, today: date, run_id: str, after_id: int, limit: int) -> list[OverduePayment]:
    """Open payments whose next dunning day has come and whose status this run has read; locked."""
    query = _overdue(today).where(_P.looked_run_id == run_id, _P.id > after_id).limit(limit)
    return cast("list[OverduePayment]", list(tx.execute(_locked(query))))


def overdue_of(tx: Tx, today: date, run_id: str, subscription_ids: Collection[int]) -> list[OverduePayment]:
    """The same, all of them, of some subscriptions."""
    query = _overdue(today).where(_P.looked_run_id == run_id, _P.subscription_id.in_(subscription_ids))
    return cast("list[OverduePayment]", list(tx.execute(_locked(query))))


def told_and_due(tx: Tx, today: date) -> Iterator[OverduePayment]:
    """Open payments whose next dunning day has come, and of which a mail has told; streamed."""
    query = _overdue(today).where(_P.told_by != "").execution_options(yield_per=500)
    yield from cast("Iterator[OverduePayment]", tx.execute(query))


def _overdue(today: date) -> Select[Any]:
    s, n = subscriptions.c, notices.c
    return (
        select(
            payments,
            s.reference,
            s.email,
            n.state.label("told_state"),
            n.message_id.label("told_message_id"),
        )
        .join(subscriptions, s.id == _P.subscription_id)
        .outerjoin(notices, n.dedupe_key == _P.told_by)
        .where(_P.state == _OPEN, _P.next_dun_on <= today, _P.attention == "")
        .order_by(_P.id)
    )


def _locked(query: Select[Any]) -> Select[Any]:
    return query.with_for_update(of=payments, skip_locked=True)


def note_dunning(
    tx: Tx, payment_id: int, policy: str, step: int, next_on: date | None, told_by: str = ""
) -> None:
    """The step that was taken, and the key of the mail that tells of it, if there is a new one."""
    values: dict[str, Any] = {"dunning_policy": policy, "dunning_step": step, "next_dun_on": next_on}
    if told_by:
        values["told_by"] = told_by
    tx.execute(update(payments).where(_P.id == payment_id, _P.state == _OPEN).values(values))


def owed_by(tx: Tx, subscription_ids: Collection[int]) -> dict[int, list[OwedPayment]]:
    """What each subscription still owes, oldest first: open payments, and those that led to its pause."""
    query = (
        select(
            _P.id,
            _P.subscription_id,
            _P.state,
            _P.marker,
            _P.amount_micros,
            _P.due_on,
            _P.period_end_on,
            _P.payable_on,
            _P.remote_id,
        )
        .where(
            _P.subscription_id.in_(subscription_ids),
            or_(_P.state == _OPEN, _P.led_to_pause == 1),
            _P.state.in_([_OPEN, PaymentState.UNCOLLECTIBLE.value]),
            _P.attention == "",
        )
        .order_by(_P.due_on, _P.id)
    )
    owed: dict[int, list[OwedPayment]] = {}
    for row in cast("Iterator[OwedPayment]", tx.execute(query)):
        owed.setdefault(row.subscription_id, []).append(row)
    return owed
