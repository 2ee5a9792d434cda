"""The examples of the first look: they can be imported on any day, and show what there is to see."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.app.examples import example_rows
from billing.core.periods import due_on, first_period_from

TODAY = date(2026, 3, 1)


@given(st.dates(date(2020, 1, 1), date(2090, 1, 1)))
def test_on_any_day_there_is_something_due_something_to_come_and_nothing_real(today: date) -> None:
    rows = example_rows(today)
    ahead = [row for row in rows if row.starts_on > today]

    assert any(row.starts_on == today for row in rows)
    assert min(row.starts_on for row in ahead) == today + timedelta(days=1)
    assert len({row.reference for row in rows}) == len(rows) == 12
    assert all(row.email == f"{row.reference}@example.com" for row in rows)
    assert all(row.amount > 0 for row in rows)


def test_whoever_began_earlier_is_billed_from_a_due_date() -> None:
    earlier = [(row, row.bill_from) for row in example_rows(TODAY) if row.bill_from is not None]

    assert len(earlier) == 3
    for row, bill_from in earlier:
        n = first_period_from(row.starts_on, row.interval, bill_from)
        assert due_on(row.starts_on, row.interval, n) == bill_from
