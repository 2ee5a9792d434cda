"""The calendar: due dates against an independent oracle, and the laws that billing rests on."""

from datetime import date, timedelta
from typing import Any

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import example, given
from hypothesis import strategies as st

from billing.core.periods import Interval, Unit, due_on, first_period_from, parse_interval, periods_due
from billing.errors import InvalidInterval

D = date.fromisoformat
LARGEST = {Unit.DAY: 3660, Unit.WEEK: 520, Unit.MONTH: 120, Unit.YEAR: 10}
MONTH, YEAR = Interval(1, Unit.MONTH), Interval(1, Unit.YEAR)
QUARTER = Interval(3, Unit.MONTH)

anchors = st.dates(D("1970-01-01"), D("2100-12-31"))
awkward_anchors = st.one_of(
    anchors,
    st.builds(lambda year, month: date(year, month, 28), st.integers(1970, 2100), st.integers(1, 12)),
    anchors.map(lambda day: (day.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)),
    st.sampled_from([D("2000-02-29"), D("2096-02-29"), D("2100-02-28"), D("1972-02-29")]),
)
intervals = st.sampled_from(Unit).flatmap(
    lambda unit: st.integers(1, LARGEST[unit]).map(lambda count: Interval(count, unit))
)
common_intervals = st.sampled_from(
    [MONTH, QUARTER, YEAR, Interval(2, Unit.WEEK), Interval(30, Unit.DAY), Interval(1, Unit.DAY)]
)


@given(awkward_anchors, st.one_of(intervals, common_intervals), st.integers(0, 400))
def test_due_dates_are_those_of_dateutil(anchor: date, interval: Interval, n: int) -> None:
    try:
        steps: dict[str, Any] = {f"{interval.unit}s": n * interval.count}
        expected = anchor + relativedelta(**steps)
    except (OverflowError, ValueError):  # past the year 9999
        with pytest.raises(OverflowError):
            due_on(anchor, interval, n)
        return
    assert due_on(anchor, interval, n) == expected


@pytest.mark.parametrize(
    ("anchor", "interval", "expected"),
    [
        ("2026-01-31", MONTH, "2026-01-31 2026-02-28 2026-03-31 2026-04-30 2026-05-31"),
        ("2024-01-31", MONTH, "2024-01-31 2024-02-29 2024-03-31 2024-04-30 2024-05-31"),
        ("2026-01-30", MONTH, "2026-01-30 2026-02-28 2026-03-30"),
        ("2026-01-29", MONTH, "2026-01-29 2026-02-28 2026-03-29"),
        ("2026-01-28", MONTH, "2026-01-28 2026-02-28 2026-03-28"),
        ("2024-02-29", YEAR, "2024-02-29 2025-02-28 2026-02-28 2027-02-28 2028-02-29"),
        ("2096-02-29", YEAR, "2096-02-29 2097-02-28 2098-02-28 2099-02-28 2100-02-28"),
        ("2025-11-30", QUARTER, "2025-11-30 2026-02-28 2026-05-30 2026-08-30 2026-11-30"),
        ("2027-11-30", QUARTER, "2027-11-30 2028-02-29 2028-05-30"),
        ("2026-12-31", MONTH, "2026-12-31 2027-01-31 2027-02-28 2027-03-31"),
        ("2026-03-28", Interval(1, Unit.DAY), "2026-03-28 2026-03-29 2026-03-30 2026-03-31"),  # clocks change
        ("2026-10-19", Interval(1, Unit.WEEK), "2026-10-19 2026-10-26 2026-11-02"),
        ("2024-02-15", Interval(2, Unit.WEEK), "2024-02-15 2024-02-29 2024-03-14"),
        ("2026-01-31", Interval(30, Unit.DAY), "2026-01-31 2026-03-02 2026-04-01"),
    ],
)
def test_due_dates_of_the_table(anchor: str, interval: Interval, expected: str) -> None:
    days = [D(day) for day in expected.split()]
    assert [due_on(D(anchor), interval, n) for n in range(len(days))] == days


@given(awkward_anchors, intervals, st.integers(0, 60))
def test_due_dates_strictly_increase(anchor: date, interval: Interval, n: int) -> None:
    assert due_on(anchor, interval, n) < due_on(anchor, interval, n + 1)


@given(awkward_anchors, intervals, st.integers(-400, 20_000))
@example(D("2026-01-31"), MONTH, 28)
@example(D("2026-01-31"), MONTH, 29)
@example(D("2024-02-29"), YEAR, 366)
@example(D("2024-02-29"), YEAR, 365)
def test_the_first_period_from_a_day_is_the_least_that_is_due_then(
    anchor: date, interval: Interval, days: int
) -> None:
    day = anchor + timedelta(days=days)
    n = first_period_from(anchor, interval, day)
    assert n >= 0
    assert due_on(anchor, interval, n) >= day
    assert n == 0 or due_on(anchor, interval, n - 1) < day


@given(awkward_anchors, st.one_of(intervals, common_intervals), st.integers(0, 5), st.integers(-40, 800))
def test_periods_due_are_all_that_are_due_and_no_others(
    anchor: date, interval: Interval, first: int, days: int
) -> None:
    through = anchor + timedelta(days=days)
    found = periods_due(anchor, interval, first, through)
    assert [n for n, _ in found] == list(range(first, first + len(found)))
    assert all(day == due_on(anchor, interval, n) and day <= through for n, day in found)
    assert due_on(anchor, interval, first + len(found)) > through


def shortest_of_real_periods(interval: Interval) -> int:
    """By trying every anchor of the years around 2100, where leap days are farthest apart."""
    start = D("2087-01-01")
    days = [start + timedelta(days=i) for i in range((D("2105-01-01") - start).days)]
    first = min((due_on(day, interval, 1) - day).days for day in days)
    clamped = min((due_on(day, interval, 2) - due_on(day, interval, 1)).days for day in days if day.day > 28)
    return min(first, clamped)


@pytest.mark.parametrize("months", [*range(1, 15), 18, 23, 24, 25, 36, 48, 60, 83, 84, 85, 95, 96, 97, 120])
def test_the_shortest_days_are_the_least_of_all_real_periods_of_months(months: int) -> None:
    interval = Interval(months, Unit.MONTH)
    assert interval.shortest_days == shortest_of_real_periods(interval)


@pytest.mark.parametrize("years", range(1, 11))
def test_the_shortest_days_are_the_least_of_all_real_periods_of_years(years: int) -> None:
    interval = Interval(years, Unit.YEAR)
    assert interval.shortest_days == shortest_of_real_periods(interval)


@given(awkward_anchors, intervals, st.integers(0, 60))
def test_no_period_is_shorter_than_the_shortest(anchor: date, interval: Interval, n: int) -> None:
    length = (due_on(anchor, interval, n + 1) - due_on(anchor, interval, n)).days
    assert length >= interval.shortest_days
    if interval.unit in (Unit.DAY, Unit.WEEK):
        assert length == interval.shortest_days


@pytest.mark.parametrize(
    ("text", "count", "unit"),
    [
        ("30 days", 30, Unit.DAY),
        ("1 day", 1, Unit.DAY),
        ("30", 30, Unit.DAY),
        (" 30 ", 30, Unit.DAY),
        ("2 weeks", 2, Unit.WEEK),
        ("1 week", 1, Unit.WEEK),
        ("1 month", 1, Unit.MONTH),
        ("3 months", 3, Unit.MONTH),
        ("3 month", 3, Unit.MONTH),
        ("3Months", 3, Unit.MONTH),
        ("1   YEAR", 1, Unit.YEAR),
        ("10 years", 10, Unit.YEAR),
        ("03 months", 3, Unit.MONTH),
        ("3660", 3660, Unit.DAY),
    ],
)
def test_an_interval_is_read(text: str, count: int, unit: Unit) -> None:
    assert parse_interval(text) == Interval(count, unit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0 days",
        "-1 month",
        "1.5 months",
        "month",
        "monthly",
        "every month",
        "1 fortnight",
        "1 s",
        "1 dayss",
        "1 month 2 days",
        "P1M",
        "1e2",
        "٣ months",
        "1 mönth",
        "121 months",
        "11 years",
        "521 weeks",
        "3661",
        "999999999 days",
        "9" * 10,
        "1" * 100000,
        "1\x00",
        "1 day;",
        "1,0 day",
    ],
)
def test_what_is_no_interval_is_refused_in_a_short_message(text: str) -> None:
    with pytest.raises(InvalidInterval) as refused:
        parse_interval(text)
    assert len(str(refused.value)) < 200


@given(intervals)
def test_an_interval_is_read_as_it_is_written(interval: Interval) -> None:
    assert parse_interval(str(interval)) == interval


@pytest.mark.parametrize(("unit", "count"), [(unit, n) for unit in Unit for n in (0, -1, LARGEST[unit] + 1)])
def test_an_interval_out_of_bounds_cannot_be_made(unit: Unit, count: int) -> None:
    with pytest.raises(InvalidInterval):
        Interval(count, unit)


spellings = st.from_regex(r"\s?[0-9]{1,5} ?(day|Week|month|YEAR|year|moon|s)s?\s?", fullmatch=True)


@given(st.one_of(spellings, st.text(max_size=60)))
def test_any_text_is_an_interval_or_refused(text: str) -> None:
    try:
        interval = parse_interval(text)
    except InvalidInterval:
        return
    assert interval == Interval(interval.count, interval.unit)
    assert str(interval.count) in text
