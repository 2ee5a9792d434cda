"""A database that may have forgotten what it sent: it looks before it sends again."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import select, update

from billing.core.event_text import EventAction
from billing.core.states import PaymentState
from billing.lifecycle.moves import NOT_LOOKED
from billing.store.events import event, record
from billing.store.models import identity, payments
from billing.store.tx import Tx

_P = payments.c
_PERHAPS_SENT = (
    PaymentState.UNKNOWN,
    PaymentState.SENDING,
    PaymentState.HELD,
    PaymentState.REJECTED,
    PaymentState.PARKED,
)


def mark_restored(tx: Tx, actor: str, now: datetime, today: date, seen_generation: int) -> bool:
    """If this database came back from a backup, note it: look before sending, from now on.

    It did if it is marked as a copy, or if `seen_generation`, remembered outside of it, is ahead of
    its own. Returns whether it did.
    """
    row = tx.execute(select(identity)).one()
    if row.copied_at is None and row.generation >= seen_generation:
        return False
    tx.execute(update(identity).values(copied_at=None, generation=max(row.generation, seen_generation)))
    # What the lost time sent last may be on its way still, and no list shows it yet.
    perhaps_sent = _P.state.in_([state.value for state in _PERHAPS_SENT])
    tx.execute(update(payments).where(perhaps_sent).values(deadline_at=now, **NOT_LOOKED))
    require_lookup(tx, today, now, "the database was restored from a backup")
    record(tx, [event(now, actor, EventAction.DATABASE_RESTORED, "noticed by itself")])
    return True


def restored_by_hand(tx: Tx, actor: str, now: datetime) -> None:
    """A person says that this database was restored: the next cycle checks Mileston before it charges."""
    tx.execute(update(identity).values(copied_at=now))
    record(tx, [event(now, actor, EventAction.DATABASE_RESTORED, "said by a person")])


def require_lookup(tx: Tx, today: date, now: datetime, cause: str) -> int:
    """What is due through `today` may exist at Mileston though this database knows nothing of it.

    What it believes unsent is looked for as if it had been sent now, and so is what it plans from now
    on; returns how many payments that were.
    """
    tx.execute(update(identity).values(restored_on=today))
    planned = _P.state == PaymentState.PLANNED.value
    unknown = {"state": PaymentState.UNKNOWN.value, "cause": cause, "deadline_at": now, **NOT_LOOKED}
    return tx.execute(update(payments).where(planned).values(**unknown)).rowcount
