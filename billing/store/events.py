"""The append-only log: who did what to which record, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from billing.store.bulk import insert_rows
from billing.store.models import events

UNCOMMITTED = "billing_lines"
"""In a connection's `info`, where somebody put a list there: the lines of the transaction so far."""


def event(
    at: datetime,
    actor: str,
    action: str,
    detail: str = "",
    *,
    subscription_id: int | None = None,
    payment_id: int | None = None,
    notice_id: int | None = None,
) -> dict[str, Any]:
    """One line of the log, to be handed to `record`. `actor` is `run:<id>` or `person:<user>`."""
    return {
        "at": at,
        "actor": actor,
        "action": action,
        "detail": detail,
        "subscription_id": subscription_id,
        "payment_id": payment_id,
        "notice_id": notice_id,
    }


def record(tx: Connection, lines: Iterable[dict[str, Any]]) -> None:
    """Append lines, in the transaction of the facts that they tell of."""
    rows = list(lines)
    insert_rows(tx, events, rows)
    if (listening := tx.info.get(UNCOMMITTED)) is not None:
        listening.extend(rows)


def about(tx: Connection, subscription_id: int, payment_ids: Sequence[int] = ()) -> list[Row[Any]]:
    """All lines about a subscription and its payments, oldest first."""
    where = or_(events.c.subscription_id == subscription_id, events.c.payment_id.in_(payment_ids))
    return list(tx.execute(select(events).where(where).order_by(events.c.id)))


def every(tx: Connection) -> Iterator[Row[Any]]:
    """The whole log, oldest first, streamed."""
    yield from tx.execute(select(events).order_by(events.c.id).execution_options(yield_per=500))
