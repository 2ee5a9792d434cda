"""Which periods of a subscription are to be charged now, and when is the next one due?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from billing.core.periods import Interval, due_on, first_period_from, periods_due


@dataclass(frozen=True, slots=True)
class Terms:
    """What a subscription's calendar depends on.

    Periods due before `bill_from`, after `ends_on`, or on and after `cancel_on` are not billed.
    """

    anchor_on: date
    interval: Interval
    bill_from: date | None = None
    ends_on: date | None = None
    cancel_on: date | None = None

    def due_on(self, n: int) -> date:
        return due_on(self.anchor_on, self.interval, n)

    def period_end_on(self, n: int) -> date:
        """The last day of period n."""
        return self.due_on(n + 1) - timedelta(days=1)

    def last_due_on(self) -> date:
        """The latest date on which a period of these terms may be due."""
        last = self.ends_on or date.max
        return last if self.cancel_on is None else min(last, self.cancel_on - timedelta(days=1))

    def first_period(self, not_before: date | None = None) -> int:
        """The first billable period that is due on or after `not_before`."""
        floor = max(filter(None, (self.anchor_on, self.bill_from, not_before)))
        return first_period_from(self.anchor_on, self.interval, floor)

    def next_due_on(self, n: int) -> date | None:
        """When period n is due, or None if these terms never bill it."""
        try:
            day = self.due_on(n)
            self.due_on(n + 1)
        except OverflowError:
            return None
        return day if day <= self.last_due_on() else None


@dataclass(frozen=True, slots=True)
class PlannedPeriod:
    n: int
    due_on: date
    period_end_on: date
    held: bool


@dataclass(frozen=True, slots=True)
class PeriodPlan:
    """`periods` become payments, oldest first; then period `next_period` is due on `next_due_on`."""

    periods: tuple[PlannedPeriod, ...]
    next_period: int
    next_due_on: date | None


def plan_periods(terms: Terms, next_period: int, today: date, catch_up_limit: int) -> PeriodPlan:
    """Every period from `next_period` on that is due by `today`.

    The latest is charged, and of the missed ones before it the newest `catch_up_limit`; older ones
    are held until a person decides (killbill/killbill#1037: a wrong start date billed every past
    period).
    """
    through = min(today, terms.last_due_on())
    due = periods_due(terms.anchor_on, terms.interval, next_period, through)
    held = max(0, len(due) - 1 - catch_up_limit)
    periods = tuple(
        PlannedPeriod(n, day, terms.period_end_on(n), held=i < held) for i, (n, day) in enumerate(due)
    )
    following = next_period + len(due)
    return PeriodPlan(periods, following, terms.next_due_on(following))
