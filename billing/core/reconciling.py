"""Reconciliation as pure rules: what does a list of remote payments prove about a lost create?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from billing.core import reasons
from billing.core.coverage import KnownRemote as KnownRemote
from billing.core.coverage import Lost
from billing.core.outcomes import RemotePayment
from billing.core.remote_status import same_address

# Kill Bill looks unknown payments up after 5 minutes, an hour, then daily, five times.
BACK_OFF = (timedelta(minutes=5), timedelta(hours=1), *([timedelta(days=1)] * 5))

PROOF = 2
"""So many looks at a list that covers the attempt, a quiet window apart, prove that it never took effect."""


@dataclass(frozen=True, slots=True)
class LostCreate:
    """A payment whose last create has an unknown outcome.

    `started_at` is when its first unresolved attempt began; after `deadline_at` nothing of ours is
    still on its way.
    """

    amount_micros: int
    email: str
    started_at: datetime
    deadline_at: datetime
    absent_looks: int
    absent_at: datetime | None
    look_step: int
    next_look_at: datetime | None = None
    due_on: date | None = None
    marker: str = ""


class Finding(StrEnum):
    ADOPT = "adopt"  # found: it is open at Mileston
    ABSENT = "absent"  # proved twice that it does not exist
    LOOK_AGAIN = "look_again"  # absent once, or too early to tell
    UNPROVED = "unproved"  # the list does not cover it
    PARK = "park"  # cannot confirm whether it exists: a person decides


@dataclass(frozen=True, slots=True)
class Verdict:
    finding: Finding
    remote: RemotePayment | None = None
    cause: str = ""
    next_look_at: datetime | None = None
    look_step: int = 0
    absent_looks: int = 0
    absent_at: datetime | None = None


def choose(matches: Sequence[RemotePayment], newest_first: bool = False) -> RemotePayment:
    """Of several remote payments for one payment, the one to keep: a paid one, else the oldest.

    The oldest is the first listed, or the last if the list seems to stand newest first.
    """
    oldest_first = list(reversed(matches)) if newest_first else matches
    return next((remote for remote in oldest_first if remote.paid), oldest_first[0])


def mismatch(remote: RemotePayment, amount_micros: int, email: str) -> str:
    """Which field of a remote payment differs from ours, or ''."""
    if remote.amount_micros != amount_micros:
        return "amount"
    return "" if same_address(email, remote.email) else "subscriberEmail"


def is_lookalike(remote: RemotePayment, lost: LostCreate) -> bool:
    """Whether a record that bears no marker of ours could be the lost create all the same.

    What can't be read of it does not clear it.
    """
    return (
        remote.amount_micros in (None, lost.amount_micros)
        and same_address(lost.email, remote.email)
        and (remote.due_on is None or lost.due_on in (None, remote.due_on))
    )


class Proof(Protocol):
    """What a list proves: `coverage.CoverageProof` is one."""

    @property
    def newest_first(self) -> bool: ...
    def covers(self, lost: Lost) -> bool: ...
    def why_not(self, lost: Lost) -> str: ...


def judge(
    lost: LostCreate,
    matches: Sequence[RemotePayment],
    proof: Proof,
    now: datetime,
    quiet: timedelta,
    lookalikes: Sequence[RemotePayment] = (),
) -> Verdict:
    """What one look at the list means for one lost create.

    Absent needs two looks that cover the attempt, the first at least `quiet` after its deadline, the
    second at least `quiet` after the first: a create may still be on its way inside Mileston, and the
    list may lag. `lookalikes` are records that no payment claims; one with this payment's e-mail,
    amount and date may be it, under a name that the API changed.
    """
    if matches:
        fitting = [m for m in matches if not mismatch(m, lost.amount_micros, lost.email)]
        if fitting:
            return Verdict(Finding.ADOPT, choose(fitting, proof.newest_first))
        field = mismatch(matches[0], lost.amount_micros, lost.email)
        return Verdict(Finding.PARK, matches[0], reasons.OTHER_FIELD.format(fields=field))
    if now < lost.deadline_at + quiet:
        return _again(lost, lost.deadline_at + quiet)
    lookalike = next((remote for remote in lookalikes if is_lookalike(remote, lost)), None)
    if lookalike is not None:
        cause = reasons.NO_NUMBER_OF_OURS.format(remote_id=lookalike.remote_id)
        return Verdict(Finding.PARK, lookalike, cause)
    if not proof.covers(lost):
        return _unproved(lost, now, f"{reasons.UNPROVED}: {proof.why_not(lost)}")
    if lost.absent_looks == 0 or lost.absent_at is None:
        return Verdict(
            Finding.LOOK_AGAIN,
            next_look_at=now + quiet,
            look_step=lost.look_step,
            absent_looks=1,
            absent_at=now,
        )
    if now < lost.absent_at + quiet:
        return _again(lost, lost.absent_at + quiet)
    return Verdict(Finding.ABSENT, absent_looks=PROOF, absent_at=now)


def is_proof_old(absent_looks: int, absent_at: datetime | None, good_since: datetime) -> bool:
    """Whether a payment was proved absent, and so long ago that nothing may be sent on that proof.

    (A single look proves nothing, and so it does not grow old either.)
    """
    return absent_looks >= PROOF and absent_at is not None and absent_at < good_since


def judge_named(lost: LostCreate, remote_id: str, remote: RemotePayment | None, now: datetime) -> Verdict:
    """What becomes of a create that was answered with an id, though with an echo that is not ours.

    `remote` is that very record, read since; None if the API shows none of that id (it may for a
    while). It is adopted if e-mail, amount and date are ours, whatever its name says by now, and
    otherwise a person decides. It is never sent again by itself.
    """
    if remote is None:
        return _unproved(lost, now, reasons.NOT_SHOWN.format(remote_id=remote_id))
    if remote.marker not in (None, lost.marker):
        field = "subscriptionName"  # it is another payment's
    elif remote.due_on is None or remote.due_on != lost.due_on:
        field = "recurringDate"
    else:
        field = mismatch(remote, lost.amount_micros, lost.email)
    if not field:
        return Verdict(Finding.ADOPT, remote)
    cause = reasons.MADE_ANOTHER.format(remote_id=remote_id, fields=field)
    return Verdict(Finding.PARK, remote, cause)


def _again(lost: LostCreate, at: datetime) -> Verdict:
    return Verdict(
        Finding.LOOK_AGAIN,
        next_look_at=at,
        look_step=lost.look_step,
        absent_looks=lost.absent_looks,
        absent_at=lost.absent_at,
    )


def _unproved(lost: LostCreate, now: datetime, cause: str) -> Verdict:
    """Back off: freely in the first five minutes, then step by step, then to a person.

    An uncovered look also takes back an earlier proof of absence: two looks must agree.
    """
    if now < lost.deadline_at + BACK_OFF[0]:
        return Verdict(Finding.UNPROVED, next_look_at=now, look_step=0)
    if lost.next_look_at is not None and now < lost.next_look_at:
        # The list was read because of another payment: that does not count as a step.
        return Verdict(Finding.UNPROVED, next_look_at=lost.next_look_at, look_step=lost.look_step)
    if lost.look_step >= len(BACK_OFF):
        return Verdict(Finding.PARK, cause=cause)
    return Verdict(
        Finding.UNPROVED, next_look_at=now + BACK_OFF[lost.look_step], look_step=lost.look_step + 1
    )
