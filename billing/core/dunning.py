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


def freeze_policy(
    days_after: Sequence[int], final_after_days: int, final_action: FinalAction, room_days: int
) -> DunningPolicy:
    """The configured policy fitted to the `room_days` from the payable day to the next due date.

    The final action comes at the latest one day before the next due date; steps that would come on
    or after it are dropped. One day leaves no room for any step.
    """
    final = max(1, min(final_after_days, room_days - 1))
    return DunningPolicy(tuple(d for d in sorted(set(days_after)) if d < final), final, final_action)


@dataclass(frozen=True, slots=True)
class DunningDecision:
    """`notice` is the step whose overdue notice goes out; `final` whether the final action is taken."""

    notice: int | None = None
    final: bool = False
    next_on: date | None = None


def first_dunning_on(payable_on: date) -> date:
    """The day on which an unpaid payment becomes overdue."""
    return payable_on + timedelta(days=1)


def decide_dunning(policy: DunningPolicy, payable_on: date, last_step: int, today: date) -> DunningDecision:
    """What to do about a payment that was read as unpaid today.

    Steps that were missed while nothing ran collapse into the latest one; the final action wins over
    any step. Days count from `payable_on`: the due date, or the day on which a payment that was charged
    late could first be paid. `last_step` is the day of the last step taken, 0 for none.
    """
    overdue = (today - payable_on).days
    if overdue >= policy.final_after:
        return DunningDecision(final=True)
    come = [d for d in policy.steps if last_step < d <= overdue]
    ahead = [d for d in (*policy.steps, policy.final_after) if d > max(overdue, last_step)]
    return DunningDecision(
        notice=max(come, default=None), next_on=payable_on + timedelta(days=min(ahead)) if ahead else None
    )
