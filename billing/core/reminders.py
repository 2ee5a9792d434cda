"""When should a subscriber be reminded of the next payment?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Protocol

from billing.core.periods import Interval

_A_YEAR = 365


def offsets_for(
    interval: Interval, days_before: Sequence[int], yearly_days_before: Sequence[int]
) -> list[int]:
    """The offsets in days that apply to an interval, largest first.

    Offsets that are not shorter than the interval are dropped: they would remind of the payment
    after the next one.
    """
    return list(_offsets(interval, tuple(days_before), tuple(yearly_days_before)))


@lru_cache(maxsize=256)
def _offsets(interval: Interval, days_before: tuple[int, ...], yearly: tuple[int, ...]) -> tuple[int, ...]:
    chosen = yearly if interval.shortest_days >= _A_YEAR else days_before
    return tuple(sorted((d for d in set(chosen) if d < interval.shortest_days), reverse=True))


@dataclass(frozen=True, slots=True)
class Reminder:
    """`send` is the offset whose notice goes out now, or None; `next_on` the next day to look."""

    send: int | None
    next_on: date | None


def decide_reminder(due_on: date, offsets: Sequence[int], today: date) -> Reminder:
    """Of the offsets that have come, the nearest to the due date; the missed ones are left out."""
    days_left = (due_on - today).days
    come = [d for d in offsets if d >= days_left] if days_left > 0 else []
    ahead = [d for d in offsets if d < days_left]
    return Reminder(min(come, default=None), due_on - timedelta(days=max(ahead)) if ahead else None)


class ReminderSettings(Protocol):
    """The offsets that the config names."""

    @property
    def days_before(self) -> Sequence[int]: ...

    @property
    def yearly_days_before(self) -> Sequence[int]: ...


def first_reminder_on(interval: Interval, due_on: date | None, settings: ReminderSettings) -> date | None:
    """The day of the earliest reminder of a due date, or None if there is none."""
    if due_on is None:
        return None
    offsets = offsets_for(interval, settings.days_before, settings.yearly_days_before)
    return due_on - timedelta(days=offsets[0]) if offsets else None
