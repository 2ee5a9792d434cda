"""Dunning: what happens, step by step, while a payment stays unpaid after its due date."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum


class FinalAction(StrEnum):
    PAUSE = "pause"
    CANCEL = "cancel"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class DunningPolicy:
    """Days after the payable day of each overdue notice and of the final action; fixed for each payment."""

    steps: tuple[int, ...]
    final_after: int
    final_action: FinalAction

    def to_json(self) -> str:
        return json.dumps([list(self.steps), self.final_after, self.final_action])

    @classmethod
    def from_json(cls, text: str) -> DunningPolicy:
        steps, final_after, action = json.loads(text)
        return cls(tuple(steps), final_after, FinalAction(action))


_LEAST_DAYS = 7
"""Nobody loses a subscription within a week, however short its periods are, unless the operator says so."""


def freeze_policy(
    days_after: Sequence[int], final_after_days: int, final_action: FinalAction, period_days: int
) -> DunningPolicy:
    """The configured policy fitted to a period of `period_days`.

    The final action comes before the next due date, but with at least a week: day
    `min(final_after_days, max(7, period_days - 1))`. Every step that falls before it is taken.
    """
    final = max(1, min(final_after_days, max(_LEAST_DAYS, period_days - 1)))
    return DunningPolicy(tuple(d for d in sorted(set(days_after)) if d < final), final, final_action)


class Told(StrEnum):
    """Whether the subscriber knows that this payment is overdue."""

    NO = "no"  # no overdue mail of it went out
    WAITING = "waiting"  # one is in the outbox
    YES = "yes"  # one was sent, or refused for good as the recipient's fault


@dataclass(frozen=True, slots=True)
class DunningDecision:
    """`notice` is the step whose overdue notice goes out; `final` whether the final action is taken."""

    notice: int | None = None
    final: bool = False
    next_on: date | None = None


def first_dunning_on(payable_on: date) -> date:
    """The day on which an unpaid payment becomes overdue."""
    return payable_on + timedelta(days=1)


def decide_dunning(
    policy: DunningPolicy, payable_on: date, last_step: int, today: date, told: Told = Told.YES
) -> DunningDecision:
    """What to do about a payment that was read as unpaid today.

    Steps that were missed while nothing ran collapse into the latest one. Days count from `payable_on`:
    the due date, or the day on which a payment that was charged late could first be paid. `last_step` is
    the day of the last step taken, 0 for none. The final action never comes before the subscriber was
    told, nor on the day of that mail: until then a notice of its own goes out, or the action waits.
    """
    overdue = (today - payable_on).days
    tomorrow = today + timedelta(days=1)
    if overdue >= policy.final_after:
        if told is Told.YES and last_step < overdue:
            return DunningDecision(final=True)
        notice = overdue if told is Told.NO and last_step < overdue else None
        return DunningDecision(notice=notice, next_on=tomorrow)
    come = [d for d in policy.steps if last_step < d <= overdue]
    ahead = [d for d in (*policy.steps, policy.final_after) if d > max(overdue, last_step)]
    return DunningDecision(
        notice=max(come, default=None), next_on=payable_on + timedelta(days=min(ahead)) if ahead else tomorrow
    )


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a notice stands in its ladder: number `step` of `steps`."""

    step: int
    steps: int

    @property
    def is_last(self) -> bool:
        """Whether the final action is the next thing to come."""
        return self.step >= self.steps


def stage_of(policy: DunningPolicy, day: int) -> Stage:
    """The stage of the notice of so many days after the payable day."""
    come = sum(step <= day for step in policy.steps)
    return Stage(max(1, come), max(1, len(policy.steps)))
