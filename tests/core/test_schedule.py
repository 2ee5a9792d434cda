"""Planning: nothing lost and nothing twice, however late and however seldom it runs."""

from datetime import date, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.core.periods import Interval, Unit
from billing.core.schedule import PeriodPlan, Terms, plan_periods

D = date.fromisoformat
DAY = timedelta(days=1)
MONTH, YEAR = Interval(1, Unit.MONTH), Interval(1, Unit.YEAR)
TWO_YEARS = 731

anchors = st.one_of(
    st.dates(D("2020-01-01"), D("2030-12-31")),
    st.builds(date, st.integers(2020, 2030), st.sampled_from([1, 3, 5, 7, 8, 10, 12]), st.integers(28, 31)),
)
intervals = st.one_of(
    st.integers(1, 90).map(lambda n: Interval(n, Unit.DAY)),
    st.integers(1, 8).map(lambda n: Interval(n, Unit.WEEK)),
    st.integers(1, 13).map(lambda n: Interval(n, Unit.MONTH)),
    st.integers(1, 2).map(lambda n: Interval(n, Unit.YEAR)),
)


@st.composite
def some_terms(draw: st.DrawFn) -> Terms:
    anchor = draw(anchors)

    def day_near() -> date | None:
        return draw(st.none() | st.integers(-30, 800).map(lambda days: anchor + timedelta(days=days)))

    return Terms(anchor, draw(intervals), bill_from=day_near(), ends_on=day_near(), cancel_on=day_near())


def terms(**changes: object) -> Terms:
    return Terms(**{"anchor_on": D("2026-01-31"), "interval": MONTH} | changes)  # type: ignore[arg-type]


def due_dates(plan: PeriodPlan) -> list[date]:
    return [period.due_on for period in plan.periods]


def billable(of: Terms, through: date) -> set[date]:
    """By the rule in words: every due date from the anchor on that the terms allow."""
    found, n = set(), 0
    while (day := of.due_on(n)) <= through:
        early = of.bill_from is not None and day < of.bill_from
        late = of.ends_on is not None and day > of.ends_on
        cancelled = of.cancel_on is not None and day >= of.cancel_on
        if not (early or late or cancelled):
            found.add(day)
        n += 1
    return found


@given(some_terms(), st.integers(0, 800), st.integers(0, 5))
def test_catching_up_loses_nothing_takes_nothing_twice_and_holds_the_oldest(
    of: Terms, days: int, limit: int
) -> None:
    today = of.anchor_on + timedelta(days=days)
    plan = plan_periods(of, of.first_period(), today, limit)
    days_due = due_dates(plan)
    assert days_due == sorted(billable(of, today))
    held = [period.held for period in plan.periods]
    charged = min(len(held), 1 + limit)
    assert held == [True] * (len(held) - charged) + [False] * charged


@given(some_terms(), st.integers(0, 3))
@example(terms(anchor_on=D("2024-02-29"), interval=YEAR), 0)
@example(terms(anchor_on=D("2025-08-31")), 0)
def test_two_years_day_by_day_plan_what_one_run_at_the_end_plans(of: Terms, limit: int) -> None:
    end = of.anchor_on + timedelta(days=TWO_YEARS)
    walked: list[date] = []
    period, coming = of.first_period(), of.next_due_on(of.first_period())
    today = of.anchor_on
    while today <= end:
        if coming is not None and coming <= today:
            plan = plan_periods(of, period, today, limit)
            assert not any(planned.held for planned in plan.periods)  # nothing was missed
            walked += due_dates(plan)
            period, coming = plan.next_period, plan.next_due_on
        today += DAY
    assert walked == due_dates(plan_periods(of, of.first_period(), end, limit))


@given(some_terms(), st.lists(st.integers(0, 120), min_size=1, max_size=20))
def test_runs_at_any_distances_plan_every_period_once(of: Terms, gaps: list[int]) -> None:
    walked: list[date] = []
    period, today = of.first_period(), of.anchor_on
    for gap in gaps:
        today += timedelta(days=gap)
        plan = plan_periods(of, period, today, 1)
        walked += due_dates(plan)
        period = plan.next_period
        again = plan_periods(of, period, today, 1)
        assert again.periods == ()
        assert again.next_due_on == plan.next_due_on
    assert walked == sorted(billable(of, today))


@given(some_terms(), st.integers(0, 800))
def test_the_next_due_date_is_the_first_that_is_still_to_come(of: Terms, days: int) -> None:
    today = of.anchor_on + timedelta(days=days)
    plan = plan_periods(of, of.first_period(), today, 1)
    later = sorted(billable(of, today + timedelta(days=2000)) - billable(of, today))
    assert plan.next_due_on == (later[0] if later else None)


@given(some_terms(), st.integers(0, 20))
def test_a_period_ends_on_the_eve_of_the_next(of: Terms, n: int) -> None:
    assert of.period_end_on(n) + DAY == of.due_on(n + 1)
    assert of.period_end_on(n) >= of.due_on(n)


def test_a_missed_quarter_is_held_but_for_the_newest_and_the_one_before() -> None:
    plan = plan_periods(terms(), 0, D("2026-05-31"), catch_up_limit=1)
    assert [(str(p.due_on), p.held) for p in plan.periods] == [
        ("2026-01-31", True),
        ("2026-02-28", True),
        ("2026-03-31", True),
        ("2026-04-30", False),
        ("2026-05-31", False),
    ]
    assert (plan.next_period, plan.next_due_on) == (5, D("2026-06-30"))


def test_a_catch_up_limit_of_none_charges_the_latest_alone() -> None:
    plan = plan_periods(terms(), 0, D("2026-03-31"), catch_up_limit=0)
    assert [period.held for period in plan.periods] == [True, True, False]


@pytest.mark.parametrize(
    ("bill_from", "first"),
    [
        ("2025-12-01", "2026-01-31"),
        ("2026-01-31", "2026-01-31"),
        ("2026-02-01", "2026-02-28"),
        ("2026-02-28", "2026-02-28"),
        ("2026-03-01", "2026-03-31"),
    ],
)
def test_periods_due_before_bill_from_are_not_billed(bill_from: str, first: str) -> None:
    of = terms(bill_from=D(bill_from))
    assert of.due_on(of.first_period()) == D(first)


def test_the_first_period_is_also_not_before_a_day_that_was_billed() -> None:
    of = terms(bill_from=D("2026-02-01"))
    assert of.due_on(of.first_period(D("2026-03-01"))) == D("2026-03-31")
    assert of.due_on(of.first_period(D("2026-01-01"))) == D("2026-02-28")


@pytest.mark.parametrize(
    ("ends_on", "last"),
    [("2026-03-31", "2026-03-31"), ("2026-03-30", "2026-02-28"), ("2026-04-29", "2026-03-31")],
)
def test_nothing_due_after_ends_on_is_planned(ends_on: str, last: str) -> None:
    plan = plan_periods(terms(ends_on=D(ends_on)), 0, D("2026-12-31"), 9)
    assert due_dates(plan)[-1] == D(last)
    assert plan.next_due_on is None


@pytest.mark.parametrize(
    ("cancel_on", "last"),
    [("2026-03-31", "2026-02-28"), ("2026-04-01", "2026-03-31"), ("2026-03-01", "2026-02-28")],
)
def test_nothing_due_on_or_after_cancel_on_is_planned(cancel_on: str, last: str) -> None:
    plan = plan_periods(terms(cancel_on=D(cancel_on)), 0, D("2026-12-31"), 9)
    assert due_dates(plan)[-1] == D(last)
    assert plan.next_due_on is None


def test_the_earlier_of_end_and_cancellation_counts() -> None:
    both = terms(ends_on=D("2026-03-31"), cancel_on=D("2026-03-01"))
    assert due_dates(plan_periods(both, 0, D("2026-12-31"), 9)) == [D("2026-01-31"), D("2026-02-28")]


def test_terms_that_bill_nothing_have_no_next_due_date() -> None:
    of = terms(bill_from=D("2026-02-01"), ends_on=D("2026-02-27"))
    assert of.next_due_on(of.first_period()) is None


def test_the_last_period_of_the_calendar_is_never_planned_because_its_end_is_unknown() -> None:
    of = terms(anchor_on=D("9998-12-31"), interval=YEAR)
    assert of.next_due_on(0) == D("9998-12-31")
    assert of.next_due_on(1) is None
