"""Reminders: each offset once, on its day; of those that were missed the nearest alone."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.periods import Interval, Unit
from billing.core.reminders import decide_reminder, offsets_for

DUE = date(2026, 6, 15)
MONTH, YEAR = Interval(1, Unit.MONTH), Interval(1, Unit.YEAR)

offset_lists = st.lists(st.integers(1, 60), unique=True, max_size=6).map(
    lambda days: sorted(days, reverse=True)
)


def before(days: int) -> date:
    return DUE - timedelta(days=days)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (MONTH, [27, 7, 1]),  # 28 is not shorter than a February
        (Interval(1, Unit.WEEK), [1]),
        (Interval(8, Unit.DAY), [7, 1]),
        (Interval(1, Unit.DAY), []),
        (Interval(11, Unit.MONTH), [90, 28, 27, 7, 1]),
        (YEAR, [30, 14]),
        (Interval(12, Unit.MONTH), [30, 14]),
        (Interval(365, Unit.DAY), [30, 14]),
        (Interval(364, Unit.DAY), [90, 28, 27, 7, 1]),
    ],
)
def test_offsets_not_shorter_than_the_interval_are_dropped(interval: Interval, expected: list[int]) -> None:
    assert offsets_for(interval, [1, 27, 28, 90, 7, 7], [14, 30, 400]) == expected


def test_no_offsets_means_no_reminders() -> None:
    assert offsets_for(MONTH, [], [30]) == []
    assert offsets_for(YEAR, [7], []) == []
    assert decide_reminder(DUE, [], before(3)) == decide_reminder(DUE, [], before(3000))
    assert decide_reminder(DUE, [], before(3)).next_on is None


@given(offset_lists)
def test_day_by_day_every_offset_goes_out_on_its_own_day(offsets: list[int]) -> None:
    sent, coming = [], before(offsets[0]) if offsets else None
    for days in range(100, -10, -1):
        if coming is not None and coming <= before(days):
            reminder = decide_reminder(DUE, offsets, before(days))
            if reminder.send is not None:
                sent.append((reminder.send, days))
            coming = reminder.next_on
    assert sent == [(offset, offset) for offset in offsets]
    assert coming is None


@given(offset_lists, st.integers(-5, 70))
def test_only_the_nearest_of_missed_reminders_goes_out(offsets: list[int], days: int) -> None:
    reminder = decide_reminder(DUE, offsets, before(days))
    come = [offset for offset in offsets if offset >= days]
    assert reminder.send == (min(come) if come and days > 0 else None)


@given(offset_lists, st.integers(-5, 70))
def test_the_next_look_is_the_day_of_the_next_offset_and_always_later(offsets: list[int], days: int) -> None:
    next_on = decide_reminder(DUE, offsets, before(days)).next_on
    ahead = [offset for offset in offsets if offset < days]
    assert next_on == (before(max(ahead)) if ahead else None)
    assert next_on is None or before(days) < next_on < DUE


@pytest.mark.parametrize("days", [0, -1, -400])
def test_nothing_is_reminded_of_on_the_due_date_or_after_it(days: int) -> None:
    reminder = decide_reminder(DUE, [7, 3, 1], before(days))
    assert (reminder.send, reminder.next_on) == (None, None)
