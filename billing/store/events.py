"""The append-only log: who did what to which record, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypedDict, cast

from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import or_, select

from billing.core.event_text import EventAction
from billing.store.bulk import insert_rows
from billing.store.connection import Database
from billing.store.models import events
from billing.store.rows import Event, PaymentRef
from billing.store.tx import Tx

_UNCOMMITTED = "billing_lines"
"""In a connection's `info`, while somebody listens: the lines of its transaction so far."""


class Line(TypedDict):
    """One line of the log, to be handed to `record`."""

    at: datetime
    actor: str
    action: str
    detail: str
    subscription_id: int | None
    payment_id: int | None
    notice_id: int | None


def event(
    at: datetime,
    actor: str,
    action: EventAction,
    detail: str = "",
    *,
    subscription_id: int | None = None,
    payment_id: int | None = None,
    notice_id: int | None = None,
) -> Line:
    """One line of the log. `actor` is `run:<id>` or `person:<user>`."""
    return {
        "at": at,
        "actor": actor,
        "action": action.value,
        "detail": detail,
        "subscription_id": subscription_id,
        "payment_id": payment_id,
        "notice_id": notice_id,
    }


def about_payment(at: datetime, actor: str, action: EventAction, row: PaymentRef, detail: str = "") -> Line:
    """One line about a payment."""
    return event(at, actor, action, detail, subscription_id=row.subscription_id, payment_id=row.id)


def record(tx: Tx, lines: Iterable[Line]) -> None:
    """Append lines, in the transaction of the facts that they tell of."""
    rows = list(lines)
    insert_rows(tx, events, rows)
    if (listening := tx.info.get(_UNCOMMITTED)) is not None:
        listening.extend(rows)


def about(tx: Tx, subscription_id: int, payment_ids: Sequence[int] = ()) -> list[Event]:
    """All lines about a subscription and its payments, oldest first."""
    where = or_(events.c.subscription_id == subscription_id, events.c.payment_id.in_(payment_ids))
    return cast("list[Event]", list(tx.execute(select(events).where(where).order_by(events.c.id))))


def every(tx: Tx) -> Iterator[Event]:
    """The whole log, oldest first, streamed."""
    found = tx.execute(select(events).order_by(events.c.id).execution_options(yield_per=500))
    yield from cast("Iterator[Event]", found)


def tell_committed(
    db: Database, tell: Callable[[Line], None], listening: Callable[[], bool] = lambda: True
) -> None:
    """Call `tell` with every line of the log once it is committed, and not before."""

    def begin(tx: Tx) -> None:
        if listening():
            tx.info[_UNCOMMITTED] = []

    def commit(tx: Tx) -> None:
        for line in tx.info.pop(_UNCOMMITTED, ()):
            tell(line)

    def rollback(tx: Tx) -> None:
        # A connection that the server cut can't be asked any more; what was noted on it went with it.
        if not tx.invalidated:
            tx.info.pop(_UNCOMMITTED, None)

    for name, hook in (("begin", begin), ("commit", commit), ("rollback", rollback)):
        sqlalchemy_event.listen(db.engine, name, hook)
