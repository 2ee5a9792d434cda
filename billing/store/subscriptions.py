"""Subscriptions as they are read: the due-scan, the reminder-scan, one of them by its reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TypedDict, cast

from sqlalchemy import func, select

from billing.core.likeness import Known
from billing.core.periods import Interval, Unit
from billing.core.schedule import Terms
from billing.core.states import SubscriptionStatus
from billing.store.bulk import update_rows
from billing.store.models import subscriptions
from billing.store.paging import Listing
from billing.store.rows import Calendar, DueSubscription, Subscription
from billing.store.tx import Tx

_S = subscriptions.c
_ACTIVE = _S.status == SubscriptionStatus.ACTIVE.value


def terms_of(row: Calendar) -> Terms:
    """The calendar terms of a subscription's row."""
    return Terms(
        row.anchor_on,
        Interval(row.interval_count, Unit(row.interval_unit)),
        row.bill_from,
        row.ends_on,
        row.cancel_on,
    )


def due_page(tx: Tx, today: date, limit: int, after: tuple[date, int] | None = None) -> list[DueSubscription]:
    """Active subscriptions with a period due by `today`, earliest first, locked for this transaction.

    Planning moves a subscription out of this scan, so the next page needs no cursor; `after` is for
    those who only read. Rows that another worker holds are skipped.
    """
    query = select(subscriptions).where(_ACTIVE, _S.next_due_on <= today)
    if after is not None:
        day, row_id = after
        query = query.where((_S.next_due_on > day) | ((_S.next_due_on == day) & (_S.id > row_id)))
    query = query.order_by(_S.next_due_on, _S.id).limit(limit).with_for_update(skip_locked=True)
    return cast("list[DueSubscription]", list(tx.execute(query)))


def is_any_due(tx: Tx, today: date) -> bool:
    """Whether a subscription is due, also one that another worker holds."""
    return tx.execute(select(_S.id).where(_ACTIVE, _S.next_due_on <= today).limit(1)).first() is not None


def remind_page(
    tx: Tx, today: date, limit: int, after: tuple[date, int] | None = None
) -> list[DueSubscription]:
    """Active subscriptions whose next look for a reminder has come; as `due_page`."""
    query = select(subscriptions).where(_ACTIVE, _S.next_remind_on.is_not(None), _S.next_remind_on <= today)
    if after is not None:
        day, row_id = after
        query = query.where((_S.next_remind_on > day) | ((_S.next_remind_on == day) & (_S.id > row_id)))
    query = query.order_by(_S.next_remind_on, _S.id).limit(limit).with_for_update(skip_locked=True)
    return cast("list[DueSubscription]", list(tx.execute(query)))


def active_page(tx: Tx, after_id: int, limit: int) -> list[DueSubscription]:
    """Active subscriptions that still have a next payment and are not cancelled from some day on, by id."""
    query = select(subscriptions).where(
        _ACTIVE, _S.next_due_on.is_not(None), _S.cancel_on.is_(None), _S.id > after_id
    )
    return cast("list[DueSubscription]", list(tx.execute(query.order_by(_S.id).limit(limit))))


class NextReminder(TypedDict):
    """When a subscription is next looked at for a reminder; None: not before its next period."""

    id: int
    next_remind_on: date | None


def set_next_remind(tx: Tx, rows: Sequence[NextReminder]) -> None:
    update_rows(tx, subscriptions, rows)


def find(tx: Tx, reference: str) -> Subscription | None:
    """One subscription, locked in a transaction."""
    query = select(subscriptions).where(_S.reference == reference).with_for_update()
    return cast("Subscription | None", tx.execute(query).first())


def over_pauses(tx: Tx, today: date, limit: int = 500) -> list[Subscription]:
    """Paused ones whose pause was to end by `today`, locked, without those that another worker holds."""
    over = (_S.status == SubscriptionStatus.PAUSED.value) & (_S.paused_until <= today)
    query = select(subscriptions).where(over).order_by(_S.paused_until, _S.id).limit(limit)
    return cast("list[Subscription]", list(tx.execute(query.with_for_update(skip_locked=True))))


def get(tx: Tx, subscription_id: int) -> Subscription:
    """The subscription of a payment or notice, locked in a transaction."""
    query = select(subscriptions).where(_S.id == subscription_id).with_for_update()
    return cast("Subscription", tx.execute(query).one())


def by_references(tx: Tx, references: Sequence[str]) -> dict[str, Subscription]:
    """Locked in a transaction, in the order of their ids: what is decided from them still holds when it is
    written."""
    query = select(subscriptions).where(_S.reference.in_(references)).order_by(_S.id).with_for_update()
    return {row.reference: row for row in cast("list[Subscription]", list(tx.execute(query)))}


def ids_of(tx: Tx, references: Sequence[str]) -> list[int]:
    return list(tx.execute(select(_S.id).where(_S.reference.in_(references))).scalars())


def references(tx: Tx) -> Iterator[str]:
    query = select(_S.reference).order_by(_S.id).execution_options(yield_per=1000)
    yield from tx.execute(query).scalars()


def references_from(tx: Tx, beginning: str, limit: int) -> list[str]:
    """The first references that begin so, in the order of the alphabet."""
    query = select(_S.reference).where(_S.reference.startswith(beginning, autoescape=True))
    return list(tx.execute(query.order_by(_S.reference).limit(limit)).scalars())


def listed(status: str | None = None, since: date | None = None) -> Listing[Subscription]:
    """Subscriptions by reference; of one status, and with a next due date from `since` on."""
    query = select(subscriptions)
    if status is not None:
        query = query.where(_S.status == status)
    if since is not None:
        query = query.where(_S.next_due_on >= since)
    return Listing(query, (_S.reference,))


def count(tx: Tx) -> int:
    return tx.execute(select(func.count()).select_from(subscriptions)).scalar_one()


def likenesses(tx: Tx) -> Iterator[Known]:
    """What likeness concerns of every subscription, streamed."""
    query = select(_S.reference, _S.email, _S.plan, _S.anchor_on).execution_options(yield_per=1000)
    for row in tx.execute(query):
        yield Known(row.reference, row.email, row.plan, row.anchor_on)
