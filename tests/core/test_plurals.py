"""Numbers of things agree with their nouns."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from billing.core.plurals import counted, day_from, plural, time_ago


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 payments"), (1, "1 payment"), (2, "2 payments"), (11, "11 payments")]
)
def test_a_number_and_its_noun_agree(count: int, expected: str) -> None:
    assert counted(count, "payment") == expected


def test_an_irregular_plural_is_given() -> None:
    assert [counted(count, "it", "they") for count in (1, 2)] == ["1 it", "2 they"]
    assert [plural(count, "it", "them") for count in (0, 1)] == ["them", "it"]


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (0, "today"),
        (-1, "yesterday"),
        (-2, "2 days ago"),
        (1, "tomorrow"),
        (2, "in 2 days"),
        (30, "in 30 days"),
    ],
)
@pytest.mark.parametrize(
    "today", [date(2026, 3, 1), date(2024, 2, 28), date(2026, 12, 31), date(2026, 3, 29)]
)
def test_a_day_is_counted_from_today(days: int, said: str, today: date) -> None:
    assert day_from(today + timedelta(days=days), today) == said


@pytest.mark.parametrize(
    ("at", "now", "said"),
    [
        ("2026-03-29T00:30", "2026-03-29T00:30", "just now"),
        ("2026-03-29T00:50", "2026-03-29T01:20", "30 minutes ago"),  # the clocks went from 2 to 3 between
        ("2026-10-25T00:50", "2026-10-25T01:20", "30 minutes ago"),  # and here from 3 back to 2
        ("2026-03-28T22:00", "2026-03-29T22:00", "24 hours ago"),
        ("2026-03-27T23:30", "2026-03-29T23:30", "2 days ago"),  # 00:30 there, and 01:30 two days later
        ("2026-10-24T22:30", "2026-10-26T22:31", "yesterday"),  # 00:30 there, and 23:31 the day after
        ("2026-02-27T12:00", "2026-03-02T12:00", "3 days ago"),
    ],
)
def test_how_long_ago_is_counted_in_true_hours_and_the_days_of_the_zone(at: str, now: str, said: str) -> None:
    then, later = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (at, now))
    berlin = ZoneInfo("Europe/Berlin")
    assert time_ago(then.astimezone(berlin), later.astimezone(berlin), berlin) == said
