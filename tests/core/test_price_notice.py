"""A higher price waits until it was told long enough before; nothing else does."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.periods import Interval, Unit
from billing.core.price_notice import changes_terms, holds_from, rises
from billing.core.terms_change import Agreement

TODAY = date(2026, 11, 27)
DAY = timedelta(days=1)
MONTH, YEAR, WEEK = Interval(1, Unit.MONTH), Interval(1, Unit.YEAR), Interval(1, Unit.WEEK)
GOLD = Agreement("Gold", "Ada", "ada@example.com", 10_000_000, MONTH, date(2026, 1, 31))


@pytest.mark.parametrize(
    ("changes", "higher"),
    [
        ({"amount_micros": 10_000_001}, True),
        ({"amount_micros": 9_000_000}, False),
        ({"amount_micros": 100_000_000, "interval": YEAR}, False),
        ({"amount_micros": 200_000_000, "interval": YEAR}, True),
        ({"amount_micros": 3_000_000, "interval": WEEK}, True),
        ({"plan": "Silver"}, False),
    ],
)
def test_a_price_is_compared_by_the_day(changes: dict[str, object], higher: bool) -> None:
    assert rises(GOLD, replace(GOLD, **changes)) is higher  # type: ignore[arg-type]


def test_what_is_personal_changes_no_terms() -> None:
    assert not changes_terms(GOLD, replace(GOLD, name="Bob", email="b@example.com", company="B Ltd"))
    assert changes_terms(GOLD, replace(GOLD, plan="Silver"))
    assert changes_terms(GOLD, replace(GOLD, ends_on=TODAY))


@given(st.integers(0, 400), st.integers(0, 400), st.integers(-50, 400))
def test_it_is_the_first_due_date_that_is_late_enough(notice: int, wanted: int, next_in: int) -> None:
    terms = GOLD.terms()
    next_due_on = terms.due_on(terms.first_period(TODAY + next_in * DAY))
    earliest = TODAY + max(notice, wanted) * DAY

    day = holds_from(terms, next_due_on, TODAY, TODAY + wanted * DAY, notice)

    if next_due_on >= earliest:
        assert day is None
        return
    assert day is not None
    assert earliest <= day <= earliest + 31 * DAY
    n = terms.first_period(day)
    assert terms.due_on(n) == day
    assert terms.due_on(n - 1) < earliest


def test_where_no_period_is_left_it_says_so() -> None:
    with pytest.raises(LookupError, match="no period is due on or after"):
        holds_from(replace(GOLD, ends_on=TODAY + 40 * DAY).terms(), TODAY + DAY, TODAY, None, 90)


def test_one_that_bills_nothing_more_has_nothing_to_wait_for() -> None:
    assert holds_from(GOLD.terms(), None, TODAY, None, 30) is None
