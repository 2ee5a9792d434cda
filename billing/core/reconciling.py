"""Reconciliation as pure rules: what does a list of remote payments prove about a lost create?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from billing.core.outcomes import RemotePayment

# Kill Bill looks unknown payments up after 5 minutes, an hour, then daily, five times.
BACK_OFF = (timedelta(minutes=5), timedelta(hours=1), *([timedelta(days=1)] * 5))
VANISHED = "it is no longer at Mileston; if that was meant, void it"
"""The note on a payment whose remote payment is gone, until it is seen again."""

PROOF = 2
"""So many looks at a list that covers the attempt, a quiet window apart, prove that it never took effect."""
_CHAIN = 5
"""So many of our own payments must stand in one order before the list's order is believed: by
chance that happens once in 120."""


@dataclass(frozen=True, slots=True)
class KnownRemote:
    """A remote payment of ours that came into being between two instants of our clock."""

    from_at: datetime
    by_at: datetime


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a list provably covers: everything (`complete`), or all that was made after `back_to`.

    `newest_first` is the order in which our own payments seem to stand in it: an indication, no proof.
    """

    complete: bool
    back_to: datetime | None = None
    newest_first: bool = False

    def covers(self, since: datetime) -> bool:
        return self.complete or (self.back_to is not None and self.back_to < since)

    def confirmed_by(self, known: Mapping[str, KnownRemote], made_since: int) -> Coverage:
        """This coverage, or none if the list lacks one of the `made_since` payments of ours that were
        made after `back_to`: then it is stale, and may lack others as well."""
        if self.back_to is None:
            return self
        shown = sum(remote.from_at > self.back_to for remote in known.values())
        return self if shown >= made_since else replace(self, back_to=None)


def prove_coverage(
    listed: Sequence[RemotePayment], limit: int, known: Mapping[str, KnownRemote], known_live: int
) -> Coverage:
    """What does a list that was requested with `limit` prove?

    `known` are those of ours in the list, by remote id; `known_live` is how many of ours should be
    there. A short list that lacks some of ours was cut by a cap or is stale, so it proves nothing.
    Neither the order nor a cap is documented, so neither is assumed: newest-first is believed only of
    a list that shows our own payments so.
    """
    ours = [known[remote.remote_id] for remote in listed if remote.remote_id in known]
    chain = _newest_first_chain(ours)
    if len(listed) < limit and len(known) >= known_live:
        return Coverage(complete=True, newest_first=chain > 1)
    back_to = min(remote.by_at for remote in ours) if chain >= _CHAIN else None
    return Coverage(complete=False, back_to=back_to, newest_first=chain > 1)


def _newest_first_chain(ours: Sequence[KnownRemote]) -> int:
    """How many of our payments stand newest first; pairs that overlap in time say nothing. 0: not all."""
    chain = 1
    oldest_seen: KnownRemote | None = None
    for remote in ours:
        if oldest_seen is None:
            oldest_seen = remote
        elif remote.by_at < oldest_seen.from_at:
            chain += 1
            oldest_seen = remote
        elif remote.from_at > oldest_seen.by_at:
            return 0
    return chain


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
    same = remote.email.strip().casefold() == email.strip().casefold()
    return "" if same else "subscriberEmail"


def judge(
    lost: LostCreate, matches: Sequence[RemotePayment], coverage: Coverage, now: datetime, quiet: timedelta
) -> Verdict:
    """What one look at the list means for one lost create.

    Absent needs two looks that cover the attempt, the first at least `quiet` after its deadline, the
    second at least `quiet` after the first: a create may still be on its way inside Mileston, and the
    list may lag.
    """
    if matches:
        fitting = [m for m in matches if not mismatch(m, lost.amount_micros, lost.email)]
        if fitting:
            return Verdict(Finding.ADOPT, choose(fitting, coverage.newest_first))
        field = mismatch(matches[0], lost.amount_micros, lost.email)
        cause = f"a remote payment bears its marker, but its {field} is not ours"
        return Verdict(Finding.PARK, matches[0], cause)
    if now < lost.deadline_at + quiet:
        return _again(lost, lost.deadline_at + quiet)
    if not coverage.covers(lost.started_at):
        return _unproved(lost, now)
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


def _again(lost: LostCreate, at: datetime) -> Verdict:
    return Verdict(
        Finding.LOOK_AGAIN,
        next_look_at=at,
        look_step=lost.look_step,
        absent_looks=lost.absent_looks,
        absent_at=lost.absent_at,
    )


def _unproved(lost: LostCreate, now: datetime) -> Verdict:
    """Back off: freely in the first five minutes, then step by step, then to a person.

    An uncovered look also takes back an earlier proof of absence: two looks must agree.
    """
    if now < lost.deadline_at + BACK_OFF[0]:
        return Verdict(Finding.UNPROVED, next_look_at=now, look_step=0)
    if lost.next_look_at is not None and now < lost.next_look_at:
        # The list was read because of another payment: that does not count as a step.
        return Verdict(Finding.UNPROVED, next_look_at=lost.next_look_at, look_step=lost.look_step)
    if lost.look_step >= len(BACK_OFF):
        cause = (
            "cannot confirm whether it exists at Mileston: "
            "the list of remote payments never covered the time of the attempt"
        )
        return Verdict(Finding.PARK, cause=cause)
    return Verdict(
        Finding.UNPROVED, next_look_at=now + BACK_OFF[lost.look_step], look_step=lost.look_step + 1
    )
