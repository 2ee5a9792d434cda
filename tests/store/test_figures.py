"""Sums, counts and ages over the whole database, as status, metrics and doctor show them."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.states import NoticeKind
from billing.lifecycle import notices as outbox
from billing.store import figures, runs
from billing.store.connection import Database
from billing.store.figures import Oldest
from billing.store.models import notices, subscriptions
from billing.store.schema import migrate
from billing.store.subscriptions import terms_of
from tests.support.databases import NOW, TODAY, a_payment, a_subscription, owned
from tests.support.written import subscription_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PRICE = 19_900_000


def asked(db: Database, figure: Any, *arguments: Any) -> Any:
    with db.read() as tx:
        return figure(tx, *arguments)


def a_run(
    db: Database, run_id: str, started_at: datetime, outcome: str = "", lasted: timedelta = HOUR
) -> None:
    """A run that began then; without an outcome it goes on still."""
    with db.transaction() as tx:
        runs.start(tx, run_id, TODAY, started_at)
        if outcome:
            runs.finish(tx, run_id, outcome, "", started_at + lasted)


def test_an_empty_database_has_no_figures(db: Database) -> None:
    assert asked(db, figures.count_subscriptions) == {}
    assert asked(db, figures.count_flagged) == 0
    assert asked(db, figures.oldest) == Oldest(None, None, None, None)
    assert asked(db, figures.last_success) is None
    assert asked(db, figures.last_started) is None
    assert asked(db, figures.last_finished) is None
    assert asked(db, figures.upcoming, TODAY) == (0, 0)


def test_subscriptions_are_counted_by_status(db: Database) -> None:
    for n, status in enumerate(("active", "active", "paused", "cancelled")):
        a_subscription(db, f"s{n}", status=status)
    assert asked(db, figures.count_subscriptions) == {"active": 2, "paused": 1, "cancelled": 1}


def test_flagged_payments_are_counted_in_any_state(db: Database) -> None:
    subscription = a_subscription(db)
    for n, state in enumerate(("open", "paid", "void", "held")):
        a_payment(db, subscription, TODAY + n * DAY, state=state, attention="look" if n else "")
    assert asked(db, figures.count_flagged) == 3


def test_what_has_waited_longest_is_told_of_each_kind(db: Database) -> None:
    subscription = a_subscription(db)
    due = iter(TODAY + n * DAY for n in range(9))
    for age in (1, 3, 2):
        a_payment(db, subscription, next(due), created_at=NOW - age * HOUR)
    a_payment(db, subscription, next(due), state="unknown", deadline_at=NOW - 4 * HOUR)
    a_payment(db, subscription, next(due), state="unknown", deadline_at=None, updated_at=NOW - 5 * HOUR)
    a_payment(db, subscription, next(due), state="open", looked_at=NOW - 6 * HOUR)
    a_payment(db, subscription, next(due), state="uncollectible", looked_at=NOW - 7 * HOUR)
    a_payment(
        db, subscription, next(due), state="paid", looked_at=NOW - 99 * HOUR, created_at=NOW - 99 * HOUR
    )
    with db.transaction() as tx:
        for n, age in enumerate((8, 1)):
            outbox.queue(tx, [outbox.new_notice(NoticeKind.PAYMENT_CREATED, str(n), NOW - age * HOUR)])
        outbox.queue(tx, [outbox.new_notice(NoticeKind.PAYMENT_CREATED, "gone", NOW - 99 * HOUR)])
        tx.execute(notices.update().where(notices.c.dedupe_key == "gone").values(state="superseded"))
    assert asked(db, figures.oldest) == Oldest(NOW - 3 * HOUR, NOW - 5 * HOUR, NOW - 8 * HOUR, NOW - 7 * HOUR)


def test_only_a_cycle_that_went_through_is_a_success(db: Database) -> None:
    owned(db)
    a_run(db, "fine", NOW - 9 * HOUR, "ok")
    a_run(db, "needed somebody", NOW - 7 * HOUR, "attention")
    a_run(db, "failed", NOW - 5 * HOUR, "failed")
    a_run(db, "goes on", NOW - HOUR)
    assert asked(db, figures.last_success) == NOW - 6 * HOUR
    assert asked(db, figures.last_finished) == NOW - 4 * HOUR
    assert asked(db, figures.last_started) == NOW - HOUR


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_sqlite_has_our_own_clock(db: Database) -> None:
    assert asked(db, figures.server_clock) is None


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_server_tells_what_its_clock_says_and_not_when_the_transaction_began(db: Database) -> None:
    with db.read() as tx:
        first, second = figures.server_clock(tx), figures.server_clock(tx)
    assert first is not None
    assert second is not None
    assert first.utcoffset() == UTC.utcoffset(None)
    assert first < second


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_sqlite_promises_nothing_of_standbys(db: Database) -> None:
    assert asked(db, figures.synchronous) is None


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_server_tells_what_it_promises_of_a_commit(db: Database) -> None:
    with db.transaction() as tx:
        tx.exec_driver_sql("SET LOCAL synchronous_commit = remote_apply")
        assert figures.synchronous(tx) == ("remote_apply", "")


# -- what is to come -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "through", "count"),
    [
        ({}, TODAY - DAY, 0),
        ({}, TODAY, 1),
        ({}, date(2026, 2, 28), 1),
        ({}, date(2026, 3, 1), 2),
        ({"interval_unit": "day"}, TODAY + 6 * DAY, 7),
        ({"interval_unit": "week"}, TODAY + 14 * DAY, 3),
        ({"interval_count": 30, "interval_unit": "day"}, TODAY + 29 * DAY, 1),
        ({"interval_unit": "day", "ends_on": TODAY + 2 * DAY}, TODAY + 6 * DAY, 3),
        ({"interval_unit": "day", "cancel_on": TODAY + 2 * DAY}, TODAY + 6 * DAY, 2),
        ({"status": "paused"}, TODAY + 6 * DAY, 0),
        ({"next_due_on": None}, TODAY + 6 * DAY, 0),
    ],
)
def test_each_due_date_to_come_counts(
    db: Database, changes: dict[str, Any], through: date, count: int
) -> None:
    a_subscription(db, **changes)
    assert asked(db, figures.upcoming, through) == (count, count * PRICE)


@pytest.mark.parametrize(
    "changes",
    [
        {"interval_count": 30, "interval_unit": "day"},
        {"interval_count": 31, "interval_unit": "day", "anchor_on": TODAY - DAY, "next_due_on": TODAY - DAY},
    ],
)
def test_in_thirty_days_from_today_thirty_days_come_up_twice(db: Database, changes: dict[str, Any]) -> None:
    a_subscription(db, **changes)
    assert asked(db, figures.upcoming, TODAY + 30 * DAY) == (2, 2 * PRICE)


def test_many_of_one_calendar_are_summed_each_with_its_price(db: Database) -> None:
    for n in range(3):
        a_subscription(db, f"s{n}", interval_unit="day", amount_micros=n + 1)
    a_subscription(db, "yearly", interval_unit="year", amount_micros=1_000)
    assert asked(db, figures.upcoming, TODAY + DAY) == (7, 2 * (1 + 2 + 3) + 1_000)


@pytest.fixture(scope="module")
def memory() -> Iterator[Database]:
    db = Database("sqlite:///:memory:")
    migrate(db)
    yield db
    db.close()


@given(
    count=st.integers(1, 40),
    unit=st.sampled_from(["day", "week", "month"]),
    horizon=st.integers(0, 29),
    ends_in=st.none() | st.integers(0, 40),
)
def test_what_is_foretold_is_what_the_calendar_has(
    memory: Database, count: int, unit: str, horizon: int, ends_in: int | None
) -> None:
    with memory.transaction() as tx:
        tx.execute(subscriptions.delete())
    ends_on = None if ends_in is None else TODAY + ends_in * DAY
    a_subscription(memory, interval_count=count, interval_unit=unit, ends_on=ends_on)
    terms, through = terms_of(subscription_of(memory)), TODAY + horizon * DAY
    due = [terms.next_due_on(n) for n in range(horizon + 1)]
    expected = sum(day is not None and day <= through for day in due)
    assert asked(memory, figures.upcoming, through) == (expected, expected * PRICE)
