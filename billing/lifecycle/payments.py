"""What becomes of a payment, one verb for each change; sending it stands in `sending`.

plan -> planned, held, unknown     open_payments -> open            book_paid -> paid
hold -> held                       mark_unknown -> unknown          (dunning: mark_uncollectible)
release, mark_absent -> planned    park -> parked                   void -> void
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol, TypedDict, TypeVar

from sqlalchemy import update

from billing.core.dunning import first_dunning_on
from billing.core.event_text import EventAction
from billing.core.reasons import VANISHED
from billing.core.reconciling import PROOF
from billing.core.states import UNSENT, NoticeKind, PaymentState, check_transition
from billing.errors import IllegalTransition
from billing.lifecycle import notices, remote_ids
from billing.lifecycle.moves import move, set_values
from billing.lifecycle.receipts import number_receipts
from billing.store.bulk import insert_new, update_rows
from billing.store.events import about_payment, event, record
from billing.store.models import payments
from billing.store.rows import Payment, PaymentInState, PaymentRef, PeriodRef
from billing.store.tx import Tx

_P = payments.c
_Ref = TypeVar("_Ref", bound=PaymentRef)
_Stated = TypeVar("_Stated", bound=PaymentInState)


_RELEASED = frozenset({PaymentState.HELD, PaymentState.REJECTED, PaymentState.PARKED})
_RESOLVED = frozenset({PaymentState.UNKNOWN, PaymentState.PARKED})


class _Unpaid(PaymentInState, PeriodRef, Protocol):
    pass


_UnpaidRow = TypeVar("_UnpaidRow", bound=_Unpaid)


class NewPayment(TypedDict):
    """A period that becomes a payment: planned, held or, if it may have been sent before, unknown."""

    subscription_id: int
    period: int
    due_on: date
    period_end_on: date
    amount_micros: int
    marker: str
    state: str
    cause: str
    attention: str
    attempts: int
    absent_looks: int
    look_step: int
    dunning_step: int
    remote_from_at: datetime
    deadline_at: datetime
    created_at: datetime
    updated_at: datetime


def plan(tx: Tx, actor: str, now: datetime, rows: Sequence[NewPayment]) -> list[NewPayment]:
    """Insert new payments; returns those that are new.

    A period that already has its payment is left alone: a conflict means that the work was done
    (getlago/lago-api#2681).
    """
    ids = insert_new(tx, payments, rows, "marker")
    new = [row for row in rows if row["marker"] in ids]
    record(
        tx,
        [
            event(
                now,
                actor,
                EventAction(row["state"]),
                row["cause"] or f"due {row['due_on']}",
                subscription_id=row["subscription_id"],
                payment_id=ids[row["marker"]],
            )
            for row in new
        ],
    )
    return new


def hold(tx: Tx, actor: str, now: datetime, rows: Sequence[_Ref], causes: Mapping[int, str]) -> list[_Ref]:
    """Planned payments that are not to be sent now, each with its cause; returns those that moved."""
    moved: set[int] = set()
    for cause in sorted({causes[row.id] for row in rows}):
        ids = [row.id for row in rows if causes[row.id] == cause]
        moved |= move(tx, ids, PaymentState.PLANNED, PaymentState.HELD, now, cause=cause)
    held = [row for row in rows if row.id in moved]
    record(tx, [about_payment(now, actor, EventAction.HELD, row, causes[row.id]) for row in held])
    return held


@dataclass(frozen=True, slots=True)
class Found:
    """A payment that exists at Mileston: its id there, and the instant by which it existed."""

    row: PeriodRef
    remote_id: str
    by_at: datetime
    made_elsewhere: bool = False
    """Another copy of this database made it, and may have sent its mail as well."""
    taken: bool = False
    """It stood for the period before, and renewed itself."""


def open_payments(
    tx: Tx,
    actor: str,
    now: datetime,
    today: date,
    old: PaymentState,
    found: Sequence[Found],
    action: EventAction,
) -> int:
    """Payments that exist at Mileston become `open`, with the notice and the event that belong to it.

    Returns how many notices were queued. Raises RuntimeError if one is not `old` any more, though the
    caller holds its lock.
    """
    if not found:
        return 0
    check_transition(old, PaymentState.OPEN)
    taken = remote_ids.hand_on(tx, actor, now, [each for each in found if each.taken])
    moved = update_rows(
        tx,
        payments,
        [
            {
                "id": each.row.id,
                "remote_id": each.remote_id,
                "remote_by_at": each.by_at,
                "looked_at": each.by_at,
                "payable_on": max(each.row.due_on, today),
                "next_dun_on": first_dunning_on(max(each.row.due_on, today)),
            }
            for each in found
        ],
        {"state": old.value},
        state=PaymentState.OPEN.value,
        lease_until=None,
        next_look_at=None,
        cause="",
        attention="",
        updated_at=now,
    )
    if moved != len(found):
        raise RuntimeError("a payment was moved by another worker under our lock")
    if taken:
        update_rows(tx, payments, taken, {"state": PaymentState.OPEN.value})
    queued = notices.queue(
        tx,
        [
            notices.about_payment(
                NoticeKind.PAYMENT_CREATED,
                each.row,
                now,
                facts=notices.PERHAPS_SENT if each.made_elsewhere else "",
            )
            for each in found
        ],
    )
    record(tx, [about_payment(now, actor, action, each.row, each.remote_id) for each in found])
    return queued


def book_paid(
    tx: Tx, actor: str, now: datetime, booked_on: date, run_id: str, rows: Sequence[_UnpaidRow]
) -> tuple[list[_UnpaidRow], int]:
    """Paid is paid, also late: from open and from uncollectible alike, each with its numbered receipt.

    `booked_on` is the day of `now` in the business's zone. Returns the payments that moved, and how many
    receipts were queued.
    """
    moved: set[int] = set()
    for state in (PaymentState.OPEN, PaymentState.UNCOLLECTIBLE):
        moved |= move(
            tx,
            [row.id for row in rows if row.state == state],
            state,
            PaymentState.PAID,
            now,
            paid_at=now,
            looked_at=now,
            looked_run_id=run_id,
            next_dun_on=None,
        )
    booked = [row for row in rows if row.id in moved]
    number_receipts(tx, booked_on, sorted(moved))
    queued = notices.queue(
        tx, [notices.about_payment(NoticeKind.PAYMENT_RECEIVED, row, now) for row in booked]
    )
    record(tx, [about_payment(now, actor, EventAction.PAID, row) for row in booked])
    return booked, queued


def mark_unknown(tx: Tx, actor: str, now: datetime, row: PaymentInState, cause: str) -> bool:
    """A payment that was believed unsent may exist at Mileston: it is looked for before it is sent.

    Returns whether it was still in the state in which it was read.
    """
    old = _state_among(row, UNSENT)
    if not move(tx, [row.id], old, PaymentState.UNKNOWN, now, cause=cause, deadline_at=now):
        return False
    record(tx, [about_payment(now, actor, EventAction.TURNED_UP, row, cause)])
    return True


def mark_absent(tx: Tx, actor: str, now: datetime, row: PaymentRef, looks: int, at: datetime | None) -> bool:
    """An unknown payment that was proved not to exist is planned again, and keeps the proof."""
    proof = f"{looks} looks at the list, and it is not there"
    if not move(
        tx,
        [row.id],
        PaymentState.UNKNOWN,
        PaymentState.PLANNED,
        now,
        cause="",
        absent_looks=looks,
        absent_at=at,
    ):
        return False
    record(tx, [about_payment(now, actor, EventAction.PROVED_ABSENT, row, proof)])
    return True


def park(
    tx: Tx,
    actor: str,
    now: datetime,
    row: PaymentRef,
    cause: str,
    proof: tuple[int, datetime | None] | None = None,
) -> bool:
    """An unknown payment of which a person must decide; `proof` are the looks that did not find it."""
    old, new = PaymentState.UNKNOWN, PaymentState.PARKED
    if proof is None:
        moved = move(tx, [row.id], old, new, now, cause=cause)
    else:
        moved = move(tx, [row.id], old, new, now, cause=cause, absent_looks=proof[0], absent_at=proof[1])
    if not moved:
        return False
    record(tx, [about_payment(now, actor, EventAction.PARKED, row, cause)])
    return True


def release(
    tx: Tx, actor: str, now: datetime, row: Payment, reason: str, uncertain_through: date | None
) -> bool:
    """A held, rejected or parked payment may be sent again.

    One that a restored database may have sent in the time that it lost is looked for first. Returns
    whether it was still in the state in which it was read.
    """
    old = _state_among(row, _RELEASED)
    # The record that an earlier answer named is not its own: whatever becomes of the next create is
    # looked for by its number.
    if not move(tx, [row.id], old, PaymentState.PLANNED, now, cause="", attention="", remote_id=None):
        return False
    if uncertain_through is not None and row.due_on <= uncertain_through and row.absent_looks < PROOF:
        # It may have been released and sent before, in the time that the restore lost. (A proof is of
        # after the restore and of after the last attempt: both take an earlier one back.)
        move(tx, [row.id], PaymentState.PLANNED, PaymentState.UNKNOWN, now)
    record(tx, [about_payment(now, actor, EventAction.RELEASED, row, reason)])
    return True


def resolve(
    tx: Tx,
    actor: str,
    now: datetime,
    today: date,
    old: PaymentState,
    found: Found,
    reason: str,
    amount_micros: int | None = None,
) -> int:
    """An unknown or parked payment that a person found at Mileston; returns how many notices were queued.

    With `amount_micros` the person vouches for a record of that amount: it becomes the payment's.
    """
    queued = open_payments(tx, actor, now, today, old, [found], EventAction.RESOLVED)
    set_values(tx, found.row.id, now, attention="")
    if amount_micros is not None:
        set_values(tx, found.row.id, now, amount_micros=amount_micros)
    if reason:
        record(tx, [about_payment(now, actor, EventAction.RESOLVED, found.row, reason)])
    return queued


def plan_again(tx: Tx, actor: str, now: datetime, row: PaymentInState, reason: str) -> bool:
    """An unknown or parked payment that a person says does not exist at Mileston."""
    old = _state_among(row, _RESOLVED)
    if not move(tx, [row.id], old, PaymentState.PLANNED, now, cause="", attention="", remote_id=None):
        return False
    record(tx, [about_payment(now, actor, EventAction.RESOLVED, row, reason)])
    return True


def void(
    tx: Tx, actor: str, now: datetime, rows: Sequence[_Stated], cause: str, look_at: datetime | None = None
) -> list[_Stated]:
    """Payments that will never be charged; returns those that were still in the state they were read in.

    At `look_at` a double that came to light since is looked for.
    """
    moved: set[int] = set()
    for state in sorted({row.state for row in rows}):
        ids = [row.id for row in rows if row.state == state]
        old, new = PaymentState(state), PaymentState.VOID
        moved |= move(
            tx, ids, old, new, now, cause=cause, attention="", next_dun_on=None, next_look_at=look_at
        )
    voided = [row for row in rows if row.id in moved]
    record(tx, [about_payment(now, actor, EventAction.VOID, row, cause) for row in voided])
    return voided


def flag(
    tx: Tx,
    actor: str,
    now: datetime,
    row: PaymentRef,
    attention: str,
    action: EventAction = EventAction.ATTENTION,
) -> bool:
    """Note what a person must look at, though the state is an ordinary one; returns whether it is new."""
    other = (_P.id == row.id) & (_P.attention != attention)
    statement = update(payments).where(other).values(attention=attention, updated_at=now)
    if not tx.execute(statement).rowcount:
        return False
    record(tx, [about_payment(now, actor, action, row, attention)])
    return True


def dismiss(tx: Tx, actor: str, now: datetime, row: Payment, reason: str) -> None:
    """A person has seen to what it was flagged for."""
    set_values(tx, row.id, now, attention="")
    detail = f"{row.attention}; {reason}".removesuffix("; ")
    record(tx, [about_payment(now, actor, EventAction.DISMISSED, row, detail)])


def flag_vanished(tx: Tx, actor: str, now: datetime, row: PaymentRef) -> bool:
    """Its remote payment is not found any more."""
    return flag(tx, actor, now, row, VANISHED, EventAction.VANISHED)


def unflag(tx: Tx, now: datetime, row: PaymentRef) -> bool:
    """What was to be looked at is settled."""
    return set_values(tx, row.id, now, attention="")


def _state_among(row: PaymentInState, states: frozenset[PaymentState]) -> PaymentState:
    """The state in which it was read; the table alone would let a verb act on others too."""
    state = PaymentState(row.state)
    if state not in states:
        raise IllegalTransition(f"payment {row.id} is {state}; this is for {', '.join(sorted(states))} ones")
    return state
