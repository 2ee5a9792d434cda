"""What looking at the API needs to know and notes: reconciliation, settlement, dunning.

Notes change no state: what does stands in `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TypedDict, TypeVar, cast

from sqlalchemy import exists, func, or_, select, update

from billing.core.reconciling import KnownRemote, LostCreate
from billing.core.states import PaymentState
from billing.store.bulk import update_rows
from billing.store.models import attempts, payments, subscriptions
from billing.store.rows import LostPayment, OverduePayment, PaidPayment, UnpaidPayment
from billing.store.tx import Tx

_P = payments.c
_LOST = (PaymentState.UNKNOWN.value, PaymentState.PARKED.value)
_UNPAID = (PaymentState.OPEN.value, PaymentState.UNCOLLECTIBLE.value)
_CHUNK = 500
_LIVE = _P.remote_id.is_not(None) & _P.state.in_([*_UNPAID, PaymentState.PAID.value]) & (_P.attention == "")
"""Remote payments of ours that a complete list must show."""


def look_is_due(tx: Tx, now: datetime) -> bool:
    """Whether an unknown payment waits for a look, or a payment is about to be sent a second time."""
    unknown = (_P.state == PaymentState.UNKNOWN.value) & (
        _P.next_look_at.is_(None) | (_P.next_look_at <= now)
    )
    again = (_P.state == PaymentState.PLANNED.value) & (_P.attempts > 0)
    return bool(tx.execute(select(exists().where(or_(unknown, again)))).scalar())


def has_ever_sent(tx: Tx) -> bool:
    """Whether this database knows of any attempt at all."""
    return bool(tx.execute(select(exists(select(attempts.c.id)))).scalar())


def is_any_unsent(tx: Tx, markers: Sequence[str]) -> bool:
    """Whether a payment that is planned or held bears one of these markers."""
    unsent = _P.state.in_([PaymentState.PLANNED.value, PaymentState.HELD.value])
    return any(
        tx.execute(select(exists().where(unsent, _P.marker.in_(chunk)))).scalar()
        for chunk in _chunks(markers)
    )


def lost_page(tx: Tx, after_id: int, limit: int) -> list[LostPayment]:
    """Payments that are unknown or parked, by id, with what judging them needs; locked."""
    query = (
        select(payments, subscriptions.c.reference, subscriptions.c.email)
        .join(subscriptions, subscriptions.c.id == _P.subscription_id)
        .where(_P.state.in_(_LOST), _P.id > after_id)
        .order_by(_P.id)
        .limit(limit)
        .with_for_update(of=payments, skip_locked=True)
    )
    return cast("list[LostPayment]", list(tx.execute(query)))


def lost_create(row: LostPayment) -> LostCreate:
    """A row of `lost_page` as the pure rules see it."""
    return LostCreate(
        amount_micros=row.amount_micros,
        email=row.email,
        started_at=row.remote_from_at or row.created_at,
        deadline_at=row.deadline_at or row.created_at,
        absent_looks=row.absent_looks,
        absent_at=row.absent_at,
        look_step=row.look_step,
        next_look_at=row.next_look_at,
    )


def earliest_lost(tx: Tx) -> datetime | None:
    """When the oldest unknown attempt began."""
    query = select(func.min(_P.remote_from_at)).where(_P.state == PaymentState.UNKNOWN.value)
    return tx.execute(query).scalar()


def count_unknown(tx: Tx) -> int:
    query = select(func.count()).where(_P.state == PaymentState.UNKNOWN.value)
    return tx.execute(query).scalar_one()


def known_remotes(tx: Tx, remote_ids: Sequence[str]) -> dict[str, KnownRemote]:
    """Which of these remote payments are ours and live, and when they came into being.

    Live as `count_live` counts: one that is void or flagged, if it still turns up, must not stand in
    for another that is missing.
    """
    found = {}
    for chunk in _chunks(remote_ids):
        query = select(_P.remote_id, _P.remote_from_at, _P.remote_by_at).where(
            _P.remote_id.in_(chunk), _LIVE, _P.remote_from_at.is_not(None), _P.remote_by_at.is_not(None)
        )
        for remote_id, from_at, by_at in tx.execute(query):
            found[remote_id] = KnownRemote(from_at, by_at)
    return found


def count_live(tx: Tx, made_after: datetime | None = None) -> int:
    """How many remote payments of ours a complete list must show, or one that reaches back so far."""
    query = select(func.count()).where(_LIVE)
    if made_after is not None:
        query = query.where(_P.remote_from_at > made_after)
    return tx.execute(query).scalar_one()


def by_marker(tx: Tx, markers: Sequence[str]) -> dict[str, LostPayment]:
    """The payments that bear these markers, with their subscription's reference and e-mail."""
    found: dict[str, LostPayment] = {}
    for chunk in _chunks(markers):
        query = (
            select(payments, subscriptions.c.reference, subscriptions.c.email)
            .join(subscriptions, subscriptions.c.id == _P.subscription_id)
            .where(_P.marker.in_(chunk))
        )
        found.update({row.marker: row for row in cast("list[LostPayment]", list(tx.execute(query)))})
    return found


class Look(TypedDict):
    """What one look taught about an unknown payment."""

    id: int
    absent_looks: int
    absent_at: datetime | None
    look_step: int
    next_look_at: datetime | None


def note_looks(tx: Tx, rows: Sequence[Look]) -> None:
    """Note what one look taught about payments that stay unknown."""
    update_rows(tx, payments, rows, {"state": PaymentState.UNKNOWN.value})


def unpaid_page(
    tx: Tx, looked_before: datetime, after: tuple[datetime, int], limit: int
) -> list[UnpaidPayment]:
    """Unpaid remote payments that were last looked at before an instant, oldest look first."""
    at, row_id = after
    query = (
        select(
            _P.id,
            _P.subscription_id,
            _P.state,
            _P.remote_id,
            _P.amount_micros,
            _P.looked_at,
            _P.due_on,
            _P.attention,
            subscriptions.c.reference,
        )
        .join(subscriptions, subscriptions.c.id == _P.subscription_id)
        .where(
            _P.state.in_(_UNPAID),
            _P.looked_at < looked_before,
            or_(_P.looked_at > at, (_P.looked_at == at) & (_P.id > row_id)),
        )
        .order_by(_P.looked_at, _P.id)
        .limit(limit)
    )
    return cast("list[UnpaidPayment]", list(tx.execute(query)))


def lock_unpaid(tx: Tx, ids: Sequence[int]) -> dict[int, str]:
    """Which of these are still unpaid, and in what state; locked, without those that another worker holds."""
    found: dict[int, str] = {}
    for chunk in _chunks(ids):
        query = select(_P.id, _P.state).where(_P.id.in_(chunk), _P.state.in_(_UNPAID)).order_by(_P.id)
        found.update((row.id, row.state) for row in tx.execute(query.with_for_update(skip_locked=True)))
    return found


def count_unpaid(tx: Tx, looked_before: datetime) -> int:
    query = select(func.count()).where(_P.state.in_(_UNPAID), _P.looked_at < looked_before)
    return tx.execute(query).scalar_one()


def note_unpaid(tx: Tx, ids: Sequence[int], run_id: str, now: datetime) -> None:
    """These were read as unpaid just now, in this run."""
    for chunk in _chunks(ids):
        tx.execute(
            update(payments)
            .where(_P.id.in_(chunk), _P.state.in_(_UNPAID))
            .values(looked_at=now, looked_run_id=run_id)
        )


def paid_among(tx: Tx, remote_ids: Sequence[str]) -> list[PaidPayment]:
    """Which of these remote payments we booked as paid."""
    rows: list[PaidPayment] = []
    for chunk in _chunks(remote_ids):
        query = select(_P.id, _P.subscription_id, _P.remote_id, _P.attention).where(
            _P.remote_id.in_(chunk), _P.state == PaymentState.PAID.value
        )
        rows += cast("list[PaidPayment]", list(tx.execute(query)))
    return rows


def overdue_page(tx: Tx, today: date, run_id: str, after_id: int, limit: int) -> list[OverduePayment]:
    """Open payments whose next dunning day has come and whose status this run has read; locked."""
    s = subscriptions.c
    query = (
        select(payments, s.reference, s.status.label("subscription_status"))
        .join(subscriptions, s.id == _P.subscription_id)
        .where(
            _P.state == PaymentState.OPEN.value,
            _P.next_dun_on <= today,
            _P.looked_run_id == run_id,
            _P.attention == "",
            _P.id > after_id,
        )
        .order_by(_P.id)
        .limit(limit)
        .with_for_update(of=payments, skip_locked=True)
    )
    return cast("list[OverduePayment]", list(tx.execute(query)))


def note_dunning(tx: Tx, payment_id: int, policy: str, step: int, next_on: date | None) -> None:
    tx.execute(
        update(payments)
        .where(_P.id == payment_id, _P.state == PaymentState.OPEN.value)
        .values(dunning_policy=policy, dunning_step=step, next_dun_on=next_on)
    )


_T = TypeVar("_T", int, str)


def _chunks(values: Iterable[_T]) -> Iterable[list[_T]]:
    chosen = list(values)
    return (chosen[i : i + _CHUNK] for i in range(0, len(chosen), _CHUNK))
