"""Changed terms: told field by field, and no day is charged twice, whatever changes."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from billing.core.periods import Interval, Unit
from billing.core.schedule import Terms, plan_periods
from billing.core.terms_change import (
    Agreement,
    changes,
    first_allowed_period,
    next_charge,
    past_periods,
)

D = date.fromisoformat
DAY = timedelta(days=1)
MONTH, YEAR = Interval(1, Unit.MONTH), Interval(1, Unit.YEAR)
BEFORE = Agreement("Gold", "Zoë", "zoe@example.org", 19_900_000, MONTH, D("2026-01-31"))

days = st.dates(D("2023-01-01"), D("2029-12-31"))
intervals = st.one_of(
    st.integers(1, 90).map(lambda n: Interval(n, Unit.DAY)),
    st.integers(1, 8).map(lambda n: Interval(n, Unit.WEEK)),
    st.integers(1, 13).map(lambda n: Interval(n, Unit.MONTH)),
    st.integers(1, 2).map(lambda n: Interval(n, Unit.YEAR)),
)
some_terms = st.builds(
    Terms, days, intervals, bill_from=st.none() | days, ends_on=st.none() | days, cancel_on=st.none() | days
)


# -- field by field -------------------------------------------------------------------------------------


def test_nothing_changed_is_nothing_told() -> None:
    assert changes(BEFORE, replace(BEFORE)) == []


def test_every_change_is_told_as_people_read_it() -> None:
    after = Agreement(
        plan="Silver",
        name="Zoe",
        email="zoe@example.com",
        amount_micros=25_000_001,
        interval=Interval(2, Unit.WEEK),
        starts_on=D("2026-02-01"),
        bill_from=D("2026-03-01"),
        ends_on=D("2027-01-31"),
        wallet_address="w" * 20,
        locale="de",
        company="Quill Ltd",
        tax_id="GB123456789",
        address="12 Harbour Road\nBristol",
    )
    assert [str(change) for change in changes(BEFORE, after)] == [
        "plan: Gold -> Silver",
        "name: Zoë -> Zoe",
        "email: zoe@example.org -> zoe@example.com",
        "amount: 19.90 USDC -> 25.000001 USDC",
        "interval: 1 month -> 2 weeks",
        "starts_on: 2026-01-31 -> 2026-02-01",
        "bill_from: none -> 2026-03-01",
        "ends_on: none -> 2027-01-31",
        f"wallet_address: none -> {'w' * 20}",
        "locale: none -> de",
        "company: none -> Quill Ltd",
        "tax_id: none -> GB123456789",
        "address: none -> 12 Harbour Road | Bristol",
    ]


def test_what_is_erased_is_told() -> None:
    (change,) = changes(replace(BEFORE, bill_from=D("2026-03-01")), BEFORE)
    assert (change.field, change.old, change.new) == ("bill_from", "2026-03-01", "none")


# -- no day twice ---------------------------------------------------------------------------------------


@given(some_terms, st.none() | days, st.none() | days, st.booleans(), st.none() | days)
@example(Terms(D("2026-01-15"), MONTH), D("2026-02-27"), None, True, None)
def test_no_period_begins_in_charged_days_but_by_a_new_bill_from_that_is_allowed(
    after: Terms,
    charged: date | None,
    new_bill_from: date | None,
    allow: bool,
    not_before: date | None,
) -> None:
    if new_bill_from is not None:
        after = replace(after, bill_from=new_bill_from)
    first = first_allowed_period(after, charged, new_bill_from, allow, not_before)
    permitted = allow and new_bill_from is not None
    planned = plan_periods(after, first.n, D("2032-01-01"), 0).periods
    assert (first.due_on is None) == (not planned)
    for period in planned:
        if charged is not None and not permitted:
            assert period.due_on > charged
        if not_before is not None and not permitted:
            assert period.due_on >= not_before
        assert period.due_on >= max(filter(None, (after.anchor_on, after.bill_from)))


@given(some_terms, days, st.none() | days)
def test_no_period_that_could_be_billed_is_passed_over_and_free_days_are_counted(
    after: Terms, charged: date, not_before: date | None
) -> None:
    first = first_allowed_period(after, charged, not_before=not_before)
    if first.n > 0:
        before = after.due_on(first.n - 1)
        floor = max(filter(None, (charged + DAY, after.bill_from, not_before)))
        assert before < floor
    if first.due_on is not None:
        free = [charged + DAY * i for i in range(1, (first.due_on - charged).days)]
        assert first.free_days == len(free)
        assert first.charged_twice_days == 0


@given(some_terms, st.integers(0, 30), some_terms, st.booleans())
def test_charged_periods_of_old_terms_and_periods_of_new_ones_never_overlap(
    old: Terms, charged_periods: int, after: Terms, allow: bool
) -> None:
    planned = plan_periods(old, old.first_period(), D("2031-01-01"), 0).periods[:charged_periods]
    assume(planned)
    charged = max(period.period_end_on for period in planned)
    first = first_allowed_period(after, charged, None, allow)
    for period in plan_periods(after, first.n, D("2033-01-01"), 0).periods[:40]:
        assert all(period.due_on > one.period_end_on or period.period_end_on < one.due_on for one in planned)


def test_an_unchanged_calendar_goes_on_without_a_gap() -> None:
    first = first_allowed_period(Terms(D("2026-01-31"), MONTH), D("2026-02-27"))
    assert (first.n, first.due_on, first.free_days, first.sentence()) == (1, D("2026-02-28"), 0, None)


def test_a_moved_anchor_leaves_free_days_and_says_how_many() -> None:
    first = first_allowed_period(Terms(D("2026-01-15"), MONTH), D("2026-02-27"))
    assert (first.n, first.due_on, first.free_days, first.refusal) == (2, D("2026-03-15"), 15, None)
    assert first.sentence() == "15 days before the next charge will not be charged"


@pytest.mark.parametrize("allow", [False, True])
def test_an_old_bill_from_is_no_permission(allow: bool) -> None:
    after = Terms(D("2026-01-15"), MONTH, bill_from=D("2026-01-15"))
    first = first_allowed_period(after, D("2026-02-27"), None, allow)
    assert (first.due_on, first.refusal) == (D("2026-03-15"), None)


def test_a_new_bill_from_in_charged_days_is_refused_with_both_ways_out() -> None:
    after = Terms(D("2026-01-15"), MONTH, bill_from=D("2026-02-01"))
    first = first_allowed_period(after, D("2026-02-27"), D("2026-02-01"))
    assert first.due_on == D("2026-03-15")
    assert first.refusal == (
        "bill_from 2026-02-01 opens a period on 2026-02-15, but every day through 2026-02-27 is charged "
        "already; write 2026-02-28 or later, or allow it with --allow-overlap"
    )


def test_a_new_bill_from_that_opens_no_period_in_charged_days_is_fine() -> None:
    after = Terms(D("2026-01-15"), MONTH, bill_from=D("2026-02-20"))
    first = first_allowed_period(after, D("2026-02-27"), D("2026-02-20"))
    assert (first.due_on, first.refusal) == (D("2026-03-15"), None)


def test_what_is_allowed_is_done_and_told() -> None:
    after = Terms(D("2026-01-15"), MONTH, bill_from=D("2026-02-01"))
    first = first_allowed_period(after, D("2026-02-27"), D("2026-02-01"), allow_overlap=True)
    assert (first.due_on, first.charged_twice_days, first.free_days) == (D("2026-02-15"), 13, 0)
    assert first.sentence() == "up to 13 days already charged will be charged again, as you allowed"


def test_nothing_charged_yet_begins_where_the_terms_begin() -> None:
    after = Terms(D("2026-01-15"), MONTH, bill_from=D("2026-02-01"))
    assert first_allowed_period(after, None).due_on == D("2026-02-15")
    assert first_allowed_period(after, None, not_before=D("2026-05-01")).due_on == D("2026-05-15")


def test_terms_that_end_before_charged_days_do_bill_nothing_more() -> None:
    first = first_allowed_period(Terms(D("2026-01-15"), MONTH, ends_on=D("2026-02-20")), D("2026-02-27"))
    assert (first.due_on, first.free_days, first.sentence()) == (None, 0, None)


# -- the preview ----------------------------------------------------------------------------------------


@given(some_terms, st.integers(0, 20), days, st.integers(0, 5))
def test_past_periods_are_those_that_planning_finds(
    terms: Terms, further: int, today: date, limit: int
) -> None:
    n = terms.first_period() + further
    planned = plan_periods(terms, n, today, limit).periods
    past = [period.due_on for period in planned if period.due_on < today]
    found = past_periods(BEFORE, terms, n, today, limit)
    assert found.count == len(past)
    assert (found.first_due_on, found.last_due_on) == ((past[0], past[-1]) if past else (None, None))
    assert found.amount_micros == len(past) * BEFORE.amount_micros
    assert found.held == (sum(period.held for period in planned) if past else 0)


@pytest.mark.parametrize(
    ("today", "said"),
    [
        ("2026-01-31", None),
        (
            "2026-02-01",
            "1 past period, due on 2026-01-31, was not charged yet and will be billed: 19.90 USDC; set "
            "bill_from to leave them out",
        ),
        (
            "2026-04-30",
            "3 past periods, due from 2026-01-31 to 2026-03-31, were not charged yet and will be billed, "
            "2 of them only after your release: 59.70 USDC; set bill_from to leave them out",
        ),
    ],
)
def test_a_warning_counts_the_past_periods(today: str, said: str | None) -> None:
    assert past_periods(BEFORE, BEFORE.terms(), 0, D(today), 1).warning() == said


@pytest.mark.parametrize(
    ("today", "said"),
    [
        ("2026-02-27", "next charge: 19.90 USDC on 2026-02-28, for 2026-02-28 to 2026-03-30"),
        ("2026-02-28", "next charge: 19.90 USDC in the next run, for 2026-02-28 to 2026-03-30"),
    ],
)
def test_the_next_charge_is_told(today: str, said: str) -> None:
    assert next_charge(BEFORE, BEFORE.terms(), 1, D(today)) == said


def test_terms_that_are_over_say_so() -> None:
    terms = BEFORE.terms(cancel_on=D("2026-02-01"))
    assert next_charge(BEFORE, terms, 1, D("2026-01-31")) == "nothing more will be charged"
