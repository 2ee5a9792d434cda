"""What to make of a remote record that may renew itself: pure rules.

Nobody knows whether a recurring payment becomes unpaid again by itself when its interval has passed, as
Mileston's browser SDK says ("renews automatically"). Every period has a record of its own here, so one that
comes back would ask for a period that another record asks for as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol

from billing.core import reasons
from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.core.remote_status import same_address

NEVER_DAYS = 36_500
"""An interval that never comes: a hundred years."""
CANARIES = 5
"""So many records of periods before are read for a sign of renewal, before a run sends."""
IT_IS_SYSTEM = 2
"""So many that renewed themselves are no accident: nothing is sent until a person says what to do."""
RENEWED = reasons.RENEWED_TO.partition(" to ")[0]
"""How the attention of such a payment begins."""


class Predecessor(Protocol):
    """A payment whose record is at Mileston, and the next one of its subscription, about to be sent."""

    id: int
    state: str
    remote_id: str
    marker: str
    due_on: date
    shown_on: date | None
    email: str
    next_marker: str
    next_due_on: date
    let_go: bool
    """A person has released the next one."""


class Step(StrEnum):
    """What must be done about the record of the period before, before the next one is sent."""

    NOTHING = "nothing"
    STOP = "stop"  # change its interval, so that it never comes back
    TAKE = "take"  # it came back: it stands for the next period now
    HOLD = "hold"  # nobody can tell: a person decides


@dataclass(frozen=True, slots=True)
class Verdict:
    step: Step
    cause: str = ""


@dataclass(frozen=True, slots=True)
class CameBack:
    """A record that is to stand for the next period, and the marker that it bore for its own."""

    remote_id: str
    marker: str


def has_renewed(remote: RemotePayment, due_on: date) -> bool:
    """Whether the record of a payment due on `due_on` asks for a later date by now."""
    return remote.status is RemoteStatus.UNPAID and remote.due_on is not None and remote.due_on > due_on


def renewed_text(remote: RemotePayment) -> str:
    """The attention of a paid payment whose record came back by itself."""
    return f"{reasons.RENEWED_TO.format(due_on=remote.due_on)}; {reasons.SET_STOP}"


def judge(row: Predecessor, remote: RemotePayment | None, *, paid: bool) -> Verdict:
    """What the record of the period before means for the next one; `paid`: it was booked as paid.

    `remote` is that record, read just now; None if Mileston has none of its id.
    """
    verdict = _judge(row, remote, paid=paid)
    return Verdict(Step.NOTHING) if verdict.step is Step.HOLD and row.let_go else verdict


def _judge(row: Predecessor, remote: RemotePayment | None, *, paid: bool) -> Verdict:
    if remote is None:
        return Verdict(Step.NOTHING)
    if not has_renewed(remote, row.due_on):
        shown_on = row.shown_on or row.due_on
        if paid and remote.paid and remote.due_on is not None and remote.due_on > shown_on:
            return Verdict(Step.HOLD, _about(reasons.MOVED_AND_PAID, row, remote))
        return Verdict(Step.STOP)
    if not paid:
        # It may have been paid for its own period, unseen, before it came back.
        return Verdict(Step.HOLD, _about(reasons.MOVED_UNSEEN, row, remote))
    if remote.due_on != row.next_due_on:
        return Verdict(Step.HOLD, _about(reasons.MOVED_ELSEWHERE, row, remote))
    if not _is_whose(row, remote):
        return Verdict(Step.HOLD, _about(reasons.MOVED_CHANGED, row, remote))
    return Verdict(Step.TAKE)


def may_take(remote: RemotePayment | None, due_on: date, markers: tuple[str, str], email: str) -> bool:
    """Whether a record, read just now, still waits to be taken for the period due on `due_on`.

    `markers` are those of the period before and of this one: a take that was cut short has begun already.
    """
    return (
        remote is not None
        and remote.status is RemoteStatus.UNPAID
        and remote.due_on == due_on
        and remote.marker in markers
        and same_address(email, remote.email)
    )


def _is_whose(row: Predecessor, remote: RemotePayment) -> bool:
    return remote.marker in (row.marker, row.next_marker) and same_address(row.email, remote.email)


def _about(reason: str, row: Predecessor, remote: RemotePayment) -> str:
    return reason.format(remote_id=remote.remote_id, id=row.id, due_on=remote.due_on)
