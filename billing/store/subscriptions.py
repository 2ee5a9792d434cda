"""Subscriptions: the due-scan, the reminder-scan, upserts, and changes of status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from billing.core.periods import Interval, Unit
from billing.core.schedule import Terms
from billing.core.states import SubscriptionStatus
from billing.store.bulk import update_rows, upsert_rows
from billing.store.models import subscriptions

_S = subscriptions.c
_ACTIVE = _S.status == SubscriptionStatus.ACTIVE.value


def terms_of(row: Row[Any]) -> Terms:
    """The calendar terms of a subscription's row."""
    return Terms(
        row.anchor_on,
        Interval(row.interval_count, Unit(row.interval_unit)),
        row.bill_from,
        row.ends_on,
        row.cancel_on,
    )


def due_page(
    tx: Connection, today: date, limit: int, after: tuple[date, int] | None = None
) -> list[Row[Any]]:
    """Active subscriptions with a period due by `today`, earliest first, locked for this transaction.

    Planning moves a subscription out of this scan, so the next page needs no cursor; `after` is for
    those who only read. Rows that another worker holds are skipped.
    """
    query = select(subscriptions).where(_ACTIVE, _S.next_due_on <= today)
    if after is not None:
        day, row_id = after
        query = query.where((_S.next_due_on > day) | ((_S.next_due_on == day) & (_S.id > row_id)))
    query = query.order_by(_S.next_due_on, _S.id).limit(limit).with_for_update(skip_locked=True)
    return list(tx.execute(query))


def is_any_due(tx: Connection, today: date) -> bool:
    """Whether a subscription is due, also one that another worker holds."""
    return tx.execute(select(_S.id).where(_ACTIVE, _S.next_due_on <= today).limit(1)).first() is not None


def advance(tx: Connection, rows: Sequence[dict[str, Any]], now: datetime) -> None:
    """Move schedules on.

    Rows hold: id, was_next_period, next_period, next_due_on, next_remind_on, status.
    """
    moved = update_rows(tx, subscriptions, rows, updated_at=now)
    if moved != len(rows):
        raise RuntimeError(f"{len(rows) - moved} schedules were moved by somebody else under our lock")


def remind_page(
    tx: Connection, today: date, limit: int, after: tuple[date, int] | None = None
) -> list[Row[Any]]:
    """Active subscriptions whose next look for a reminder has come; as `due_page`."""
    query = select(subscriptions).where(_ACTIVE, _S.next_remind_on.is_not(None), _S.next_remind_on <= today)
    if after is not None:
        day, row_id = after
        query = query.where((_S.next_remind_on > day) | ((_S.next_remind_on == day) & (_S.id > row_id)))
    query = query.order_by(_S.next_remind_on, _S.id).limit(limit).with_for_update(skip_locked=True)
    return list(tx.execute(query))


def active_page(tx: Connection, after_id: int, limit: int) -> list[Row[Any]]:
    """Active subscriptions that still have a next payment and are not cancelled from some day on, by id."""
    query = select(subscriptions).where(
        _ACTIVE, _S.next_due_on.is_not(None), _S.cancel_on.is_(None), _S.id > after_id
    )
    return list(tx.execute(query.order_by(_S.id).limit(limit)))


def set_next_remind(tx: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Rows hold: id, next_remind_on."""
    update_rows(tx, subscriptions, rows)


def find(tx: Connection, reference: str) -> Row[Any] | None:
    return tx.execute(select(subscriptions).where(_S.reference == reference).with_for_update()).first()


def by_references(tx: Connection, references: Sequence[str]) -> dict[str, Row[Any]]:
    query = select(subscriptions).where(_S.reference.in_(references))
    return {row.reference: row for row in tx.execute(query)}


def ids_of(tx: Connection, references: Sequence[str]) -> list[int]:
    return list(tx.execute(select(_S.id).where(_S.reference.in_(references))).scalars())


def references(tx: Connection) -> Iterator[str]:
    query = select(_S.reference).order_by(_S.id).execution_options(yield_per=1000)
    yield from tx.execute(query).scalars()


ORDER = (_S.reference,)
"""How lists of subscriptions go."""


def count(tx: Connection) -> int:
    return tx.execute(select(func.count()).select_from(subscriptions)).scalar_one()


_KEPT_ON_UPSERT = ("id", "created_at")


def upsert(tx: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert subscriptions or update those with the same reference; every row holds the same keys."""
    upsert_rows(tx, subscriptions, rows, "reference", _KEPT_ON_UPSERT)


def change(tx: Connection, subscription_id: int, now: datetime, **values: Any) -> None:
    tx.execute(update(subscriptions).where(_S.id == subscription_id).values(updated_at=now, **values))
