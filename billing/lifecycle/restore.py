"""A database that may have forgotten what it sent: it checks Mileston before it charges again.

A *strong* reason (an older generation, a copy, another server or timeline, a payment at Mileston that it
believes unsent): what could have been sent since is looked for, as if it had been sent now. A *weak* one
(another file than before): one look that covers everything settles it; until then nothing is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select, update

from billing.core.event_text import EventAction
from billing.core.reasons import FROM_BACKUP
from billing.core.states import PaymentState
from billing.lifecycle.moves import NOT_LOOKED
from billing.store.events import event, record
from billing.store.home import Home
from billing.store.models import identity, payments
from billing.store.tx import Tx

_P, _I = payments.c, identity.c
_PERHAPS_SENT = (
    PaymentState.UNKNOWN,
    PaymentState.SENDING,
    PaymentState.HELD,
    PaymentState.REJECTED,
    PaymentState.PARKED,
)


def mark_restored(
    tx: Tx, actor: str, now: datetime, today: date, seen_generation: int, home: Home | None = None
) -> str:
    """Find out whether this database was restored or replaced, and note it.

    It was, for certain, if it is marked as a copy, if `seen_generation`, remembered outside of it, is
    ahead of its own, or if it lives on another server than it remembers; perhaps, if its file is another
    one. Returns the strong reason, or ''.
    """
    row = tx.execute(select(identity)).one()
    moved = home.reason(row.home) if home is not None else ""
    strong = ""
    if row.copied_at is not None:
        strong = "it is a restored backup"
    elif row.generation < seen_generation:
        strong = "it is older than what was last used here"
    elif moved and home is not None and home.strong:
        strong = moved
    if home is not None and home.key != row.home:
        tx.execute(update(identity).values(home=home.key))
    if strong:
        generation = max(row.generation, seen_generation)
        tx.execute(update(identity).values(copied_at=None, generation=generation, doubt="", doubt_since=None))
        # What the lost time sent last may be on its way still, and no list shows it yet.
        perhaps_sent = _P.state.in_([state.value for state in _PERHAPS_SENT])
        tx.execute(update(payments).where(perhaps_sent).values(deadline_at=now, **NOT_LOOKED))
        unknown = _P.state == PaymentState.UNKNOWN.value
        tx.execute(update(payments).where(unknown).values(cause=FROM_BACKUP))
        require_lookup(tx, today, now, FROM_BACKUP)
        record(tx, [event(now, actor, EventAction.DATABASE_RESTORED, strong)])
    elif moved and home is not None:
        since = min(now, home.since or now)
        tx.execute(update(identity).values(doubt=moved, doubt_since=since))
        record(tx, [event(now, actor, EventAction.DATABASE_DOUBTED, moved)])
    return strong


@dataclass(frozen=True, slots=True)
class Doubt:
    """A weak reason that one look has yet to settle, and since when it may hold."""

    reason: str
    since: datetime


def doubt(tx: Tx) -> Doubt | None:
    """Why nothing is sent until a look at Mileston has settled it, or None."""
    row = tx.execute(select(_I.doubt, _I.doubt_since)).first()
    return Doubt(row.doubt, row.doubt_since) if row is not None and row.doubt and row.doubt_since else None


def settle_doubt(tx: Tx, actor: str, now: datetime, how: str) -> bool:
    """A look that covers everything, or a person, says that nothing is missing.

    Returns whether it was doubted.
    """
    statement = update(identity).where(_I.doubt != "").values(doubt="", doubt_since=None)
    if not tx.execute(statement).rowcount:
        return False
    record(tx, [event(now, actor, EventAction.DATABASE_TRUSTED, how)])
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
    later = _I.restored_on.is_(None) | (_I.restored_on < today)
    tx.execute(update(identity).where(later).values(restored_on=today))
    planned = _P.state == PaymentState.PLANNED.value
    unknown = {"state": PaymentState.UNKNOWN.value, "cause": cause, "deadline_at": now, **NOT_LOOKED}
    return tx.execute(update(payments).where(planned).values(**unknown)).rowcount
