"""Which remote record stands for a payment: each for one payment at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol, TypedDict

from sqlalchemy import update

from billing.core.event_text import EventAction
from billing.core.states import PaymentState
from billing.lifecycle.moves import set_values
from billing.store.events import about_payment, record
from billing.store.models import payments
from billing.store.rows import PaymentRef, PeriodRef
from billing.store.tx import Tx

_P = payments.c


class Taken(Protocol):
    """A payment, and the record of an earlier one that it takes over."""

    @property
    def row(self) -> PeriodRef: ...
    @property
    def remote_id(self) -> str: ...


class MadeBefore(TypedDict):
    """A payment, and when the record that it took over was made."""

    id: int
    remote_from_at: datetime | None
    remote_by_at: datetime | None


def hand_on(tx: Tx, actor: str, now: datetime, found: Sequence[Taken]) -> list[MadeBefore]:
    """The paid payments before these give up their records, and keep the ids as their history.

    Returns when those records were made, for the payments that they stand for now.
    """
    made = []
    for each in found:
        paid = (_P.remote_id == each.remote_id) & (_P.state == PaymentState.PAID.value)
        statement = (
            update(payments)
            .where(paid, _P.subscription_id == each.row.subscription_id, _P.due_on < each.row.due_on)
            .values(former_remote_id=_P.remote_id, remote_id=None, updated_at=now)
            .returning(_P.id, _P.subscription_id, _P.remote_from_at, _P.remote_by_at)
        )
        for before in tx.execute(statement):
            detail = f"payment {each.row.id}, due {each.row.due_on}"
            record(tx, [about_payment(now, actor, EventAction.HANDED_ON, before, detail)])
            made.append(MadeBefore(id=each.row.id, remote_from_at=before[2], remote_by_at=before[3]))
    return made


def replace_remote(tx: Tx, actor: str, now: datetime, row: PaymentRef, old: str, new: str) -> bool:
    """The payment stands for another remote payment now; returns whether it still stood for `old`."""
    still = (_P.id == row.id) & (_P.remote_id == old)
    if not tx.execute(update(payments).where(still).values(remote_id=new, updated_at=now)).rowcount:
        return False
    record(tx, [about_payment(now, actor, EventAction.REPLACED, row, f"a duplicate counts now: {new}")])
    return True


def free_ids(tx: Tx, remote_ids: Sequence[str]) -> None:
    """Void payments forget ids that the API uses again."""
    if remote_ids:
        void = (_P.state == PaymentState.VOID.value) & _P.remote_id.in_(remote_ids)
        tx.execute(update(payments).where(void).values(remote_id=None))


def note_shown(tx: Tx, now: datetime, row: PaymentRef, day: date | None) -> None:
    """When it was booked paid its record showed another date: Mileston moves dates when something is paid."""
    set_values(tx, row.id, now, shown_on=day)
