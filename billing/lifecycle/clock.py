"""What a clock that was wrong for a while has left behind."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import update

from billing.core.states import PaymentState
from billing.store.models import payments
from billing.store.tx import Tx

_P = payments.c
IN_FUTURE = timedelta(hours=1)
"""An instant that lies so far ahead was written while this machine's clock was wrong."""
_LONGEST_BACK_OFF = timedelta(days=2)


def set_clock_right(tx: Tx, now: datetime) -> int:
    """Looks that lie in the future hold up nothing any more; returns how many payments had one."""
    ahead = now + IN_FUTURE
    count = 0
    for column, states in (
        (_P.looked_at, (PaymentState.OPEN, PaymentState.UNCOLLECTIBLE)),
        (_P.deadline_at, (PaymentState.UNKNOWN,)),
    ):
        late = (column > ahead) & _P.state.in_([state.value for state in states])
        count += tx.execute(update(payments).where(late).values({column.key: now})).rowcount
    late = (_P.state == PaymentState.UNKNOWN.value) & (_P.next_look_at > now + _LONGEST_BACK_OFF)
    return count + tx.execute(update(payments).where(late).values(next_look_at=now)).rowcount
