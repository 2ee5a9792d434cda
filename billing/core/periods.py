"""The calendar of periods: when is period n due, and which periods are due by a day?

Everything is arithmetic on dates from the anchor; no time zone and no earlier due date is involved,
so a late run, a pause or a change of clocks can't move a billing day.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from billing.errors import InvalidInterval


class Unit(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


_LARGEST = {Unit.DAY: 3660, Unit.WEEK: 520, Unit.MONTH: 120, Unit.YEAR: 10}
_DAYS = {Unit.DAY: 1, Unit.WEEK: 7}
_MONTHS = {Unit.MONTH: 1, Unit.YEAR: 12}
_SPELLING = re.compile(r"([0-9]{1,9})(?:\s*([a-z]+))?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Interval:
    """How long a period is: a whole number of days, weeks, months or years."""

    count: int
    unit: Unit

    def __post_init__(self) -> None:
        if not 1 <= self.count <= _LARGEST[self.unit]:
            raise InvalidInterval(
                f"{self.count} {self.unit}s: an interval is 1 to {_LARGEST[self.unit]} {self.unit}s"
            )

    def __str__(self) -> str:
        return f"{self.count} {self.unit}" + ("" if self.count == 1 else "s")

    @property
    def shortest_days(self) -> int:
        """The least number of days a period of this interval can have."""
        if self.unit in _DAYS:
            return self.count * _DAYS[self.unit]
        months = self.count * _MONTHS[self.unit]
        years, rest = divmod(months, 12)
        # Any 12 months have at least 365 days; n months at least as many as from 1 February on,
        # less what clamping a 31st to the 28th can take: from 31 Jan to 28 Feb are 28 days. More than
        # seven years hold a 29 February even around 2100.
        shortest = years * 365 + (28, 28, 59, 89, 120, 150, 181, 212, 242, 273, 303, 334)[rest] * bool(rest)
        return shortest + (months > 84)


def parse_interval(text: str) -> Interval:
    """Read `30 days`, `2 weeks`, `1 month`, `1 year`, or bare days (`30`).

    Raises `InvalidInterval`.
    """
    match = _SPELLING.fullmatch(text.strip()) if len(text) <= 40 else None
    word = (match[2] or "day").lower().removesuffix("s") if match else ""
    if match is None or word not in Unit.__members__.values():
        raise InvalidInterval(
            f"{text[:40]!r} is not an interval; write for example '30 days', '2 weeks', '1 month', "
            "'1 year', or a bare number of days"
        )
    return Interval(int(match[1]), Unit(word))


def due_on(anchor: date, interval: Interval, n: int) -> date:
    """The first day of period n, counted from the anchor (n ≥ 0).

    A day that the month lacks becomes the month's last: 31 Jan, 28 Feb, 31 Mar. Raises
    `OverflowError` past the year 9999.
    """
    if interval.unit in _DAYS:
        return anchor + timedelta(days=n * interval.count * _DAYS[interval.unit])
    months = anchor.year * 12 + anchor.month - 1 + n * interval.count * _MONTHS[interval.unit]
    year, month0 = divmod(months, 12)
    if year > date.max.year:
        raise OverflowError("the due date lies past the year 9999")
    last = 28 if month0 == 1 and not calendar.isleap(year) else _MONTH_DAYS[month0]
    return date(year, month0 + 1, min(anchor.day, last))


_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def first_period_from(anchor: date, interval: Interval, day: date) -> int:
    """The least n ≥ 0 whose due date is `day` or later."""
    if day <= anchor:
        return 0
    if interval.unit in _DAYS:
        step = interval.count * _DAYS[interval.unit]
        return -(-(day - anchor).days // step)
    step = interval.count * _MONTHS[interval.unit]
    months = (day.year - anchor.year) * 12 + day.month - anchor.month
    n = max(0, months // step)
    while due_on(anchor, interval, n) < day:
        n += 1
    return n


def is_due_on(anchor: date, interval: Interval, day: date) -> bool:
    """Whether a period begins on that day."""
    return day >= anchor and due_on(anchor, interval, first_period_from(anchor, interval, day)) == day


def periods_due(anchor: date, interval: Interval, first: int, through: date) -> list[tuple[int, date]]:
    """Periods n ≥ first that are due on or before `through`, with their due dates, oldest first."""
    found = []
    n = first
    while (day := due_on(anchor, interval, n)) <= through:
        found.append((n, day))
        n += 1
    return found
