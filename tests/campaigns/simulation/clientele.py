"""Who pays, what they agreed to, and what is due by it: the rule, computed apart from the program.

Due dates come from python-dateutil, not from billing.core: this module is the second opinion.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random

from dateutil.relativedelta import relativedelta

ACTIVE, PAUSED, CANCELLED, ENDED = "active", "paused", "cancelled", "ended"

_STEPS = {
    "day": lambda n: relativedelta(days=n),
    "week": lambda n: relativedelta(weeks=n),
    "month": lambda n: relativedelta(months=n),
    "year": lambda n: relativedelta(years=n),
}
_INTERVALS = (
    (1, "month"),
    (1, "month"),
    (1, "month"),
    (3, "month"),
    (1, "year"),
    (2, "week"),
    (30, "day"),
    (10, "day"),
)
_SHORT_INTERVALS = ((1, "day"), (3, "day"), (1, "week"))


@dataclass
class Agreement:
    """One subscription as its subscriber understands it.

    `musts` are the due dates that have to be charged; `mays` also those that may or may not have been
    planned when somebody paused or cancelled.
    """

    reference: str
    email: str
    amount_micros: int
    count: int
    unit: str
    anchor_on: date
    bill_from: date | None = None
    ends_on: date | None = None
    cancel_on: date | None = None
    status: str = ACTIVE
    resumed_on: date | None = None
    paused_by_program: bool = False
    voided: bool = False
    """It was cancelled: what had not reached the API is rightly void."""
    next_period: int = 0
    musts: set[date] = field(default_factory=set)
    mays: set[date] = field(default_factory=set)
    plan: str = field(default="Gold plan", repr=False)
    domain: str = field(default="example.com", repr=False)
    changed_at: datetime | None = field(default=None, repr=False)
    """When its terms were last changed."""
    not_before: date | None = field(default=None, repr=False)
    """The terms of now charge nothing that begins before: it is charged already."""
    certain_from: date | None = field(default=None, repr=False)
    """From when on they must charge; before it there is no rule that all would agree on."""
    spans: dict[date, date] = field(default_factory=dict, repr=False)
    """The last day of each period, by its first, as the terms of its time had it."""

    @property
    def address(self) -> str:
        """Where mail goes; `email` is who that is, whatever the address."""
        return f"{self.email.partition('@')[0]}@{self.domain}"

    def last_day_of(self, day: date) -> date:
        return self.spans.get(day, day)

    def recalendar(self, new: Agreement, today: date, charged_through: date | None) -> None:
        """Another anchor or interval from now on: no period of it begins on a day that is charged.

        What lies between the last charged day and today may be charged; what comes after must be.
        """
        self.anchor_on, self.count, self.unit = new.anchor_on, new.count, new.unit
        self.next_period = 0
        # What was not charged yet will be for the days of the new calendar.
        kept = charged_through or date.min
        self.spans = {day: last for day, last in self.spans.items() if day <= kept}
        self.not_before = charged_through + timedelta(days=1) if charged_through else None
        passed = max(self.mays, default=date.min)
        self.certain_from = max(self.not_before or date.min, today, passed + timedelta(days=1))

    def due_on(self, n: int) -> date:
        return self.anchor_on + _STEPS[self.unit](n * self.count)

    def _bills(self, day: date) -> bool:
        """Whether a period that is due on `day` is billed at all."""
        if self.bill_from is not None and day < self.bill_from:
            return False
        if self.ends_on is not None and day > self.ends_on:
            return False
        if self.not_before is not None and day < self.not_before:
            return False
        return self.cancel_on is None or day < self.cancel_on

    def through(self, today: date, *, certain: bool) -> None:
        """Every period that is due by `today` is to be charged; without `certain` it may be."""
        n = self.next_period
        while (day := self.due_on(n)) <= today:
            if self._bills(day) and (self.resumed_on is None or day >= self.resumed_on):
                self.mays.add(day)
                self.spans.setdefault(day, self.due_on(n + 1) - timedelta(days=1))
                if certain and (self.certain_from is None or day >= self.certain_from):
                    self.musts.add(day)
            n += 1
        if certain:
            self.next_period = n

    def is_over(self, today: date) -> bool:
        """Whether no period is left after those that are due by `today`."""
        last = self.ends_on or date.max
        if self.cancel_on is not None:
            last = min(last, self.cancel_on - timedelta(days=1))
        n = 0
        while (day := self.due_on(n)) <= today or (day <= last and not self._bills(day)):
            n += 1
        return day > last


class Clientele:
    """All agreements. `forgotten` are those that a restored backup does not know any more."""

    def __init__(self) -> None:
        self.agreements: dict[str, Agreement] = {}
        self.forgotten: dict[str, Agreement] = {}

    def add(self, agreement: Agreement) -> None:
        self.agreements[agreement.reference] = agreement

    def by_email(self, email: str) -> Agreement | None:
        reference = email.partition("@")[0]
        return self.agreements.get(reference) or self.forgotten.get(reference)

    def snapshot(self) -> dict[str, Agreement]:
        return copy.deepcopy(self.agreements)

    def restore(self, snapshot: dict[str, Agreement]) -> None:
        """Back to what was agreed then; what the lost time may have charged stays possible."""
        lost, self.agreements = {**self.forgotten, **self.agreements}, copy.deepcopy(snapshot)
        self.forgotten = {}
        for reference, agreement in lost.items():
            if reference in self.agreements:
                self.agreements[reference].mays |= agreement.mays | agreement.musts
                self.agreements[reference].spans |= agreement.spans
            else:
                self.forgotten[reference] = agreement


def new_agreement(rng: Random, number: int, today: date, tempo: str) -> Agreement:
    """A subscription with a calendar that is likely to go wrong: month ends, past starts, short ends."""
    count, unit = rng.choice(_INTERVALS if tempo == "weeks" else _INTERVALS + _SHORT_INTERVALS)
    short = (count, unit) in _SHORT_INTERVALS
    ago = rng.choice((0, -1, 3)) if short else rng.choice((0, -3, 1, 20, 45, 400))
    anchor = today - timedelta(days=ago)
    if unit in ("month", "year") and rng.random() < 0.5:
        anchor = _month_end(anchor, rng)
    reference = f"s{number}"
    agreement = Agreement(
        reference=reference,
        email=f"{reference}@example.com",
        amount_micros=rng.choice((5_000_000, 19_900_000, 1)),
        count=count,
        unit=unit,
        anchor_on=anchor,
    )
    if ago > 30 or rng.random() < 0.3:
        agreement.bill_from = today - timedelta(days=rng.choice((0, 0, 10, 40)))
    if rng.random() < 0.15:
        agreement.ends_on = anchor + timedelta(days=rng.randrange(max(1, ago), max(2, ago) + 90))
    return agreement


def _month_end(day: date, rng: Random) -> date:
    first = day.replace(day=1)
    last = (first + timedelta(days=40)).replace(day=1) - timedelta(days=1)
    return last - timedelta(days=rng.choice((0, 0, 0, 1, 2)))
