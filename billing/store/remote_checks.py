"""What looking at the API needs to know and notes: reconciliation, settlement.

Notes change no state: what does stands in `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Protocol, TypedDict, TypeVar, cast

from sqlalchemy import ColumnElement, Integer, Text, exists, func, or_, select, type_coerce, update

from billing.core.coverage import KnownRemote
from billing.core.reconciling import LostCreate
from billing.core.states import PaymentState
from billing.store.bulk import update_rows
from billing.store.models import attempts, payments, subscriptions
from billing.store.rows import Holder, ListedPayment, LostPayment, MarkedPayment, PaidPayment
from billing.store.tx import Tx

_P = payments.c
_former = payments.alias("former")
_LOST = (PaymentState.UNKNOWN.value, PaymentState.PARKED.value)
_UNPAID = (PaymentState.OPEN.value, PaymentState.UNCOLLECTIBLE.value)
_CHUNK = 500
_LIVE = _P.remote_id.is_not(None) & _P.state.in_([*_UNPAID, PaymentState.PAID.value]) & (_P.attention == "")
"""Remote payments of ours that a complete list must show."""
_DATED = _P.remote_id.is_not(None) & _P.remote_from_at.is_not(None) & _P.remote_by_at.is_not(None)


def look_is_due(tx: Tx, now: datetime) -> bool:
    """Whether an unknown or a voided payment waits for a look, or one is about to be sent a second time."""
    unknown = (_P.state == PaymentState.UNKNOWN.value) & (
        _P.next_look_at.is_(None) | (_P.next_look_at <= now)
    )
    again = (_P.state == PaymentState.PLANNED.value) & (_P.attempts > 0)
    due = exists().where(or_(unknown, again))
    # Apart, so that each finds its own index.
    return bool(tx.execute(select(or_(due, exists().where(_void_to_look_at(now))))).scalar())


def _void_to_look_at(now: datetime) -> ColumnElement[bool]:
    return (_P.state == PaymentState.VOID.value) & (_P.next_look_at <= now)


def void_was_looked_for(tx: Tx, asked_at: datetime) -> None:
    """A list that was asked for then has shown whatever there is of voided payments."""
    tx.execute(update(payments).where(_void_to_look_at(asked_at)).values(next_look_at=None))


def has_ever_sent(tx: Tx) -> bool:
    """Whether this database knows of any attempt at all."""
    return bool(tx.execute(select(exists(select(attempts.c.id)))).scalar())


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
        due_on=row.due_on,
        marker=row.marker,
    )


_EXTREMES = 50


def oldest_unknown(tx: Tx) -> list[LostPayment]:
    """Of the unknown payments those whose attempts began first, and those that are due first.

    A list that covers these covers the others, whatever its order.
    """
    query = (
        select(payments, subscriptions.c.reference, subscriptions.c.email)
        .join(subscriptions, subscriptions.c.id == _P.subscription_id)
        .where(_P.state == PaymentState.UNKNOWN.value)
    )
    found: dict[int, LostPayment] = {}
    for order in (_P.remote_from_at, _P.due_on, _P.due_on.desc(), _P.remote_from_at.desc()):
        rows = cast("list[LostPayment]", list(tx.execute(query.order_by(order).limit(_EXTREMES))))
        found.update((row.id, row) for row in rows)
    return list(found.values())


def named_page(tx: Tx, after_id: int, limit: int) -> list[LostPayment]:
    """Unknown payments whose create was answered with an id, though with an echo that is not ours."""
    query = (
        select(payments, subscriptions.c.reference, subscriptions.c.email)
        .join(subscriptions, subscriptions.c.id == _P.subscription_id)
        .where(_P.state == PaymentState.UNKNOWN.value, _P.remote_id.is_not(None), _P.id > after_id)
        .order_by(_P.id)
        .limit(limit)
    )
    return cast("list[LostPayment]", list(tx.execute(query)))


def lock_named(tx: Tx, ids: Sequence[int]) -> dict[int, str]:
    """Which of these still wait for what a named record tells, and its id; locked, without those that
    another worker holds."""
    query = select(_P.id, _P.remote_id).where(
        _P.id.in_(ids), _P.state == PaymentState.UNKNOWN.value, _P.remote_id.is_not(None)
    )
    rows = tx.execute(query.order_by(_P.id).with_for_update(skip_locked=True))
    return {row.id: row.remote_id for row in rows}


def owners_of(tx: Tx, remote_id: str, marker: str) -> list[int]:
    """The payments of ours that this remote id or this marker belongs to."""
    query = select(_P.id).where((_P.remote_id == remote_id) | (_P.marker == marker))
    return list(tx.execute(query).scalars())


def holders(tx: Tx, remote_ids: Sequence[str]) -> dict[str, Holder]:
    """The payments of ours that these remote records stand for."""
    query = select(_P.id, _P.subscription_id, _P.state, _P.remote_id, _P.due_on)
    rows = tx.execute(query.where(_P.remote_id.in_(remote_ids)))
    return {row.remote_id: row for row in cast("list[Holder]", list(rows))}


def stood_for_paid(tx: Tx, remote_id: str) -> bool:
    """Whether a payment that was booked paid had this record, or has it still."""
    paid = (_P.remote_id == remote_id) & (_P.state == PaymentState.PAID.value)
    return bool(tx.execute(select(exists().where(or_(paid, _P.former_remote_id == remote_id)))).scalar())


def claimed_ids(tx: Tx, remote_ids: Sequence[str]) -> set[str]:
    """Which of these remote records stand for a payment of ours, in whatever state."""
    found: set[str] = set()
    for chunk in _chunks(remote_ids):
        query = select(_P.remote_id).where(_P.remote_id.in_(chunk))
        found.update(remote_id for remote_id in tx.execute(query).scalars() if remote_id is not None)
    return found


def subscribers_among(tx: Tx, emails: Sequence[str]) -> set[str]:
    """Which of these e-mail addresses are subscribers', in lower case."""
    found: set[str] = set()
    for chunk in _chunks([email.lower() for email in emails]):
        lowered = func.lower(subscriptions.c.email)
        found.update(tx.execute(select(lowered).where(lowered.in_(chunk))).scalars())
    return found


def count_unknown(tx: Tx) -> int:
    query = select(func.count()).where(_P.state == PaymentState.UNKNOWN.value)
    return tx.execute(query).scalar_one()


_KNOWN = (
    _P.remote_id,
    _P.remote_from_at,
    _P.remote_by_at,
    _P.due_on,
    _P.marker,
    _P.state,
    _P.looked_at,
    _P.paid_at,
    _P.renewal_off_at,
)


def known_remotes(tx: Tx, remote_ids: Sequence[str]) -> dict[str, KnownRemote]:
    """Which of these remote records we know by their id, whatever became of them."""
    found: dict[str, KnownRemote] = {}
    for chunk in _chunks(remote_ids):
        query = select(*_KNOWN).where(_P.remote_id.in_(chunk), _DATED)
        found.update((row.remote_id, _known(row)) for row in cast("list[_Dated]", list(tx.execute(query))))
    return found


def live_but(tx: Tx, shown: Collection[str], made_before: datetime) -> Iterator[KnownRemote]:
    """The live remote records of ours, made before an instant, that a list did not show."""
    query = select(*_KNOWN).where(_LIVE, _DATED, _P.remote_by_at <= made_before)
    for row in cast("Iterable[_Dated]", tx.execute(query.execution_options(yield_per=1000))):
        if row.remote_id not in shown:
            yield _known(row)


def counted(tx: Tx, made_before: datetime) -> Iterable[tuple[str, str, str, int]]:
    """Every payment that a remote record stands for: that record's id, the marker, and the state.

    The fourth says whether a complete list shows that record. Of years of history these are very many, so
    they come as plain tuples, with nothing that costs time.
    """
    text = (type_coerce(column, Text) for column in (_P.remote_id, _P.marker, _P.state))
    must_show = type_coerce(_LIVE & (_P.remote_by_at <= made_before), Integer)
    query = select(*text, must_show).where(_DATED).execution_options(yield_per=5000)
    return cast("Iterable[tuple[str, str, str, int]]", tx.execute(query))


class _Dated(Protocol):
    remote_id: str
    remote_from_at: datetime
    remote_by_at: datetime
    due_on: date
    marker: str
    state: str
    looked_at: datetime | None
    paid_at: datetime | None
    renewal_off_at: datetime | None


def _known(row: _Dated) -> KnownRemote:
    """When it was paid is only known within bounds: after the last look that did not show it.

    Changing its interval was a change, too, which came after that.
    """
    paid = row.state == PaymentState.PAID.value
    paid_at = row.renewal_off_at or row.paid_at
    return KnownRemote(
        row.remote_from_at,
        row.remote_by_at,
        row.due_on,
        changed_by=paid_at if paid else None,
        unpaid_at=None if paid else row.looked_at,
        paid=paid,
        marker=row.marker,
    )


def about_live(tx: Tx, exact_up_to: int) -> int:
    """How many remote payments of ours a complete list must show.

    Counted as long as that can be about `exact_up_to`; of far more payments it is the number of all that
    were ever planned, as counting them would cost more with every year.
    """
    highest: int = tx.execute(select(func.max(_P.id))).scalar() or 0
    if highest > 4 * exact_up_to + 1000:
        return highest
    return tx.execute(select(func.count()).where(_LIVE)).scalar_one()


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


def standing_for(tx: Tx, markers: Iterable[str]) -> Iterator[MarkedPayment]:
    """The same payments, and of each only which record stands for it: of years of history, too."""
    for chunk in _chunks(markers):
        query = select(_P.marker, _P.remote_id, _P.state, _P.attempts).where(_P.marker.in_(chunk))
        yield from cast("Iterable[MarkedPayment]", tx.execute(query))


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
) -> list[ListedPayment]:
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
            _P.marker,
            _P.remote_by_at,
            exists().where(_former.c.former_remote_id == _P.remote_id).label("taken"),
            subscriptions.c.reference,
            subscriptions.c.email,
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
    return cast("list[ListedPayment]", list(tx.execute(query)))


def lock_unpaid(tx: Tx, ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Which of these are still unpaid, in what state, and which record each stands for.

    Locked, without those that another worker holds.
    """
    found: dict[int, tuple[str, str]] = {}
    for chunk in _chunks(ids):
        unpaid = _P.id.in_(chunk) & _P.state.in_(_UNPAID)
        query = select(_P.id, _P.state, _P.remote_id).where(unpaid).order_by(_P.id)
        rows = tx.execute(query.with_for_update(skip_locked=True))
        found.update((row.id, (row.state, row.remote_id)) for row in rows)
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
        # The state is asked here and not there: SQLite would go through all that were ever paid.
        columns = (_P.id, _P.subscription_id, _P.remote_id, _P.attention, _P.due_on, _P.renewal_off_at)
        found = tx.execute(select(*columns, _P.state).where(_P.remote_id.in_(chunk)))
        rows += [row for row in cast("Iterable[PaidPayment]", found) if row.state == PaymentState.PAID]
    return rows


_T = TypeVar("_T", int, str)


def _chunks(values: Iterable[_T]) -> Iterable[list[_T]]:
    chosen = list(values)
    return (chosen[i : i + _CHUNK] for i in range(0, len(chosen), _CHUNK))
