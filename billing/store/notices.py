"""Notices as they are read; what queues, claims and finishes them stands in `lifecycle`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, func, select

from billing.core.states import NoticeKind, NoticeState
from billing.store.models import notices, payments, subscriptions
from billing.store.paging import Listing
from billing.store.rows import ListedNotice, Notice, NoticeWithRows
from billing.store.tx import Tx

_N = notices.c


def queued_page(tx: Tx, now: datetime, after: tuple[datetime, int], limit: int) -> list[NoticeWithRows]:
    """Notices whose time to be sent has come, oldest first, with the rows that they speak of; locked."""
    at, row_id = after
    query = (
        _with_rows()
        .where(
            _N.state == NoticeState.QUEUED.value,
            _N.next_try_at <= now,
            (_N.next_try_at > at) | ((_N.next_try_at == at) & (_N.id > row_id)),
        )
        .order_by(_N.next_try_at, _N.id)
        .limit(limit)
        .with_for_update(of=notices, skip_locked=True)
    )
    return cast("list[NoticeWithRows]", list(tx.execute(query)))


def _with_rows() -> Select[Any]:
    s, p = subscriptions.c, payments.c
    return (
        select(
            notices,
            s.reference,
            s.plan,
            s.name,
            s.email,
            s.locale,
            s.status,
            s.paused_by,
            s.company,
            s.tax_id,
            s.address,
            s.wallet_address,
            s.amount_micros.label("current_amount_micros"),
            s.anchor_on,
            s.interval_count,
            s.interval_unit,
            s.bill_from,
            s.ends_on,
            s.cancel_on,
            s.next_period,
            s.next_due_on,
            p.state.label("payment_state"),
            p.amount_micros,
            p.period_end_on,
            p.payable_on,
            p.attention.label("payment_attention"),
            p.remote_id,
            p.marker,
            p.paid_at,
            p.dunning_policy,
            p.looked_run_id,
            p.receipt_number,
        )
        .outerjoin(subscriptions, s.id == _N.subscription_id)
        .outerjoin(payments, p.id == _N.payment_id)
    )


def with_rows(tx: Tx, notice_id: int) -> NoticeWithRows | None:
    """One notice with the rows that it speaks of."""
    return cast("NoticeWithRows | None", tx.execute(_with_rows().where(_N.id == notice_id)).first())


def sent_reminders(tx: Tx, subscription_id: int, due_on: date) -> list[int]:
    """The offsets of the reminders that were ever queued for a due date."""
    query = select(_N.days).where(
        _N.subscription_id == subscription_id,
        _N.due_on == due_on,
        _N.kind == NoticeKind.NEXT_PAYMENT_DUE.value,
    )
    return [days for days in tx.execute(query).scalars() if days is not None]


def listing(tx: Tx, states: Iterable[str] = (), subscription_id: int | None = None) -> Iterator[ListedNotice]:
    """Notices, oldest first, with their subscription's reference and e-mail; streamed."""
    yield from listed(states, subscription_id).rows(tx)


def listed(
    states: Iterable[str] = (),
    subscription_id: int | None = None,
    *,
    only: ColumnElement[bool] | None = None,
    reference: str | None = None,
    since: datetime | None = None,
) -> Listing[ListedNotice]:
    """Notices, oldest first, with their subscription's reference and e-mail; `since` is when queued."""
    query = select(notices, subscriptions.c.reference, subscriptions.c.email).outerjoin(
        subscriptions, subscriptions.c.id == _N.subscription_id
    )
    if states := tuple(states):
        query = query.where(_N.state.in_(states))
    if subscription_id is not None:
        query = query.where(_N.subscription_id == subscription_id)
    if only is not None:
        query = query.where(only)
    if reference is not None:
        query = query.where(subscriptions.c.reference == reference)
    if since is not None:
        query = query.where(_N.queued_at >= since)
    return Listing(query, (_N.id,))


def find(tx: Tx, notice_id: int) -> Notice | None:
    """One notice, locked in a transaction."""
    return cast(
        "Notice | None", tx.execute(select(notices).where(_N.id == notice_id).with_for_update()).first()
    )


def count_by_state(tx: Tx) -> dict[str, int]:
    rows = tx.execute(select(_N.state, func.count()).group_by(_N.state))
    return {row[0]: row[1] for row in rows}


def was_queued(tx: Tx, dedupe_key: str) -> bool:
    """Whether a notice with this dedupe key was ever queued."""
    return tx.execute(select(_N.id).where(_N.dedupe_key == dedupe_key)).first() is not None


def digests_of(tx: Tx, day: date) -> list[str]:
    """The facts of the digests of one business day, oldest first."""
    query = select(_N.facts).where(*_DIGEST, _N.due_on == day).order_by(_N.id)
    return list(tx.execute(query).scalars())


def digests_queued(tx: Tx) -> list[int]:
    """The digests that have not gone out yet."""
    query = select(_N.id).where(*_DIGEST, _N.state == NoticeState.QUEUED.value)
    return list(tx.execute(query).scalars())


# Digests are the notices of no subscription: this finds them by an index.
_DIGEST = (_N.subscription_id.is_(None), _N.kind == NoticeKind.RUN_DIGEST.value)
