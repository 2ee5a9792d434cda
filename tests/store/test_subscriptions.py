"""Subscriptions in the store: the scans of a cycle, upserts, and schedules moved by compare-and-set."""

from datetime import date, timedelta
from typing import Any

import pytest

from billing.core.periods import Interval, Unit
from billing.core.schedule import Terms
from billing.lifecycle import subscriptions as verbs
from billing.store import subscriptions
from billing.store.bulk import upsert_rows
from billing.store.connection import Database
from billing.store.models import subscriptions as table
from tests.support.databases import NOW, TODAY, a_subscription, changed

DAY = timedelta(days=1)
only_postgresql = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)


def advanced(row_id: int, **changes: Any) -> verbs.Advance:
    row: verbs.Advance = {
        "id": row_id,
        "was_next_period": 0,
        "next_period": 1,
        "next_due_on": date(2026, 3, 1),
        "next_remind_on": None,
        "status": "active",
    }
    return changed(row, **changes)


def upserted(reference: str, **changes: Any) -> dict[str, Any]:
    return {
        "reference": reference,
        "plan": "Silver",
        "name": "n",
        "email": "e@example.org",
        "amount_micros": 5,
        "interval_count": 2,
        "interval_unit": "week",
        "anchor_on": TODAY,
        "status": "active",
        "next_period": 3,
        "next_due_on": TODAY,
        "created_at": NOW + DAY,
        "updated_at": NOW + DAY,
    } | changes


def test_due_subscriptions_come_earliest_first_and_only_active_ones(db: Database) -> None:
    third = a_subscription(db, "third", next_due_on=TODAY)
    first = a_subscription(db, "first", next_due_on=TODAY - 2 * DAY)
    fourth = a_subscription(db, "fourth", next_due_on=TODAY)
    second = a_subscription(db, "second", next_due_on=TODAY - DAY)
    a_subscription(db, "tomorrow", next_due_on=TODAY + DAY)
    a_subscription(db, "never", next_due_on=None)
    for status in ("paused", "cancelled", "ended"):
        a_subscription(db, status, next_due_on=TODAY - DAY, status=status)
    with db.transaction() as tx:
        page = subscriptions.due_page(tx, TODAY, 3)
        rest = subscriptions.due_page(tx, TODAY, 3, after=(page[-1].next_due_on, page[-1].id))
        assert subscriptions.is_any_due(tx, TODAY)
        assert not subscriptions.is_any_due(tx, TODAY - 3 * DAY)
    assert [row.id for row in page] == [first, second, third]
    assert [row.id for row in rest] == [fourth]


def test_reminders_come_earliest_first_and_only_for_active_ones(db: Database) -> None:
    second = a_subscription(db, "second", next_remind_on=TODAY)
    first = a_subscription(db, "first", next_remind_on=TODAY - DAY)
    third = a_subscription(db, "third", next_remind_on=TODAY)
    a_subscription(db, "tomorrow", next_remind_on=TODAY + DAY)
    a_subscription(db, "never", next_remind_on=None)
    a_subscription(db, "paused", next_remind_on=TODAY, status="paused")
    with db.transaction() as tx:
        page = subscriptions.remind_page(tx, TODAY, 2)
        last = page[-1]
        assert last.next_remind_on is not None
        rest = subscriptions.remind_page(tx, TODAY, 2, after=(last.next_remind_on, last.id))
        subscriptions.set_next_remind(tx, [{"id": first, "next_remind_on": None}])
        subscriptions.set_next_remind(tx, [])
        left = subscriptions.remind_page(tx, TODAY, 9)
    assert [row.id for row in [*page, *rest]] == [first, second, third]
    assert [row.id for row in left] == [second, third]


@only_postgresql
@pytest.mark.parametrize("scan", [subscriptions.due_page, subscriptions.remind_page])
def test_a_worker_skips_what_another_holds_without_waiting(db: Database, scan: Any) -> None:
    ids = [a_subscription(db, f"s{i}", next_remind_on=TODAY) for i in range(4)]
    with db.transaction() as one, db.transaction() as other:
        other.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        taken = [row.id for row in scan(one, TODAY, 3)]
        left = [row.id for row in scan(other, TODAY, 3)]
        assert subscriptions.is_any_due(other, TODAY)  # also one that somebody holds
    assert (taken, left) == (ids[:3], ids[3:])


def test_active_subscriptions_with_a_next_payment_come_by_id(db: Database) -> None:
    ids = [a_subscription(db, f"s{i}") for i in range(3)]
    a_subscription(db, "done", next_due_on=None)
    a_subscription(db, "paused", status="paused")
    with db.read() as connection:
        first = subscriptions.active_page(connection, 0, 2)
        rest = subscriptions.active_page(connection, first[-1].id, 2)
    assert [row.id for row in [*first, *rest]] == ids


def test_schedules_move_on_together(db: Database) -> None:
    one, other = a_subscription(db, "one"), a_subscription(db, "other", next_period=4)
    with db.transaction() as tx:
        changes = {"was_next_period": 4, "next_period": 9, "next_due_on": None, "status": "ended"}
        verbs.advance(tx, "run:1", NOW, [advanced(one), advanced(other, **changes)])
    with db.read() as connection:
        rows = subscriptions.by_references(connection, ["one", "other", "none"])
    assert (rows["one"].next_period, rows["one"].next_due_on) == (1, date(2026, 3, 1))
    assert (rows["other"].next_period, rows["other"].next_due_on, rows["other"].status) == (9, None, "ended")
    assert set(rows) == {"one", "other"}


def test_a_schedule_that_somebody_else_moved_stops_the_whole_step(db: Database) -> None:
    one, other = a_subscription(db, "one"), a_subscription(db, "other", next_period=1)
    with pytest.raises(RuntimeError, match="moved by another worker"), db.transaction() as tx:
        verbs.advance(tx, "run:1", NOW, [advanced(one), advanced(other)])
    with db.read() as connection:
        assert subscriptions.by_references(connection, ["one"])["one"].next_period == 0


def test_an_upsert_inserts_the_new_and_changes_the_known(db: Database) -> None:
    known = a_subscription(db)
    with db.transaction() as tx:
        upsert_rows(tx, table, [upserted("acme"), upserted("new")], "reference", ("id", "created_at"))
        assert subscriptions.count(tx) == 2
        assert list(subscriptions.references(tx)) == ["acme", "new"]
        rows = subscriptions.by_references(tx, ["acme", "new"])
    assert rows["acme"].id == known
    assert (rows["acme"].plan, rows["acme"].amount_micros, rows["acme"].next_period) == ("Silver", 5, 3)
    assert (rows["acme"].created_at, rows["acme"].updated_at) == (NOW, NOW + DAY)
    assert rows["new"].created_at == NOW + DAY


def test_a_row_holds_the_terms_of_the_calendar(db: Database) -> None:
    a_subscription(
        db,
        interval_count=2,
        interval_unit="week",
        bill_from=TODAY + DAY,
        ends_on=None,
        cancel_on=TODAY + 9 * DAY,
    )
    with db.transaction() as tx:
        row = subscriptions.find(tx, "acme")
        assert row is not None
        assert subscriptions.find(tx, "ACME") is None
    expected = Terms(TODAY, Interval(2, Unit.WEEK), TODAY + DAY, None, TODAY + 9 * DAY)
    assert subscriptions.terms_of(row) == expected
