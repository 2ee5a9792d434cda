"""Many rows at once mean the same as one after another, on either database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, text

from billing.core.event_text import EventAction
from billing.store import bulk, events
from billing.store.bulk import insert_new, insert_rows, update_rows
from billing.store.connection import Database
from billing.store.models import events as event_table
from billing.store.models import subscriptions
from tests.support.databases import NOW, TODAY, a_subscription, payment_values

ODD = ["", "NULL", "it's", 'a "b", {c}\\', "{1,2}", "ü€\U0001f600", "%s :x ?", "null"]


def rows_of(db: Database) -> list[Any]:
    with db.read() as tx:
        return list(tx.execute(select(event_table).order_by(event_table.c.id)))


def test_odd_texts_and_nothings_arrive_as_they_are(db: Database) -> None:
    lines = [events.event(NOW, odd, EventAction.PAID, odd, payment_id=n or None) for n, odd in enumerate(ODD)]
    with db.transaction() as tx:
        assert insert_rows(tx, event_table, lines) == len(ODD)
    found = rows_of(db)
    assert [row.detail for row in found] == ODD
    assert [row.payment_id for row in found] == [None, *range(1, len(ODD))]
    assert {row.at for row in found} == {NOW}


def test_what_is_written_in_bulk_is_stored_as_what_is_written_alone(db: Database) -> None:
    at = datetime(2026, 3, 1, 23, 59, 59, 7, timezone(timedelta(hours=-5)))
    line = events.event(at, "run:1", EventAction.PAID)
    with db.transaction() as tx:
        insert_rows(tx, event_table, [line])
        tx.execute(insert(event_table).values(line))
        raw = list(tx.execute(text("SELECT at FROM events ORDER BY id")))
    assert raw[0] == raw[1]
    assert [row.at for row in rows_of(db)] == [at, at]


@given(st.datetimes(timezones=st.timezones()).filter(lambda at: 1 < at.year < 9999), st.dates())
def test_sqlite_gets_the_texts_that_sqlalchemy_writes(at: datetime, day: date) -> None:
    from sqlalchemy.dialects.sqlite import DATE, DATETIME, dialect

    naive = at.astimezone(UTC).replace(tzinfo=None)
    assert bulk._instant_text(at) == DATETIME().bind_processor(dialect())(naive)  # type: ignore[misc, no-untyped-call]
    assert bulk._day_text(day) == DATE().bind_processor(dialect())(day)  # type: ignore[misc, no-untyped-call]


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        bulk._instant_text(datetime(2026, 3, 1))  # noqa: DTZ001


def test_known_rows_are_left_out_and_the_new_ones_told(db: Database) -> None:
    from billing.store.models import payments

    subscription = a_subscription(db)
    first, second = (payment_values(subscription, TODAY + timedelta(days=n), period=n) for n in (0, 1))
    with db.transaction() as tx:
        known = insert_new(tx, payments, [first], "marker")
        new = insert_new(tx, payments, [first, second], "marker")
        assert (list(known), list(new)) == ([first["marker"]], [second["marker"]])
        assert new[second["marker"]] != known[first["marker"]]
        assert insert_rows(tx, payments, [first, second], skip_known=True) == 0


def test_an_update_sets_each_row_its_own_and_counts_those_that_were_as_expected(db: Database) -> None:
    ids = [a_subscription(db, f"s{n}", next_period=n) for n in range(4)]
    rows = [
        {"id": row_id, "was_next_period": n if n != 2 else 7, "next_period": 10 + n, "plan": ODD[n]}
        for n, row_id in enumerate(ids)
    ]
    active = {"status": "active", "cancel_on": None}
    with db.transaction() as tx:
        assert update_rows(tx, subscriptions, rows, active, updated_at=NOW, ends_on=None) == 3
        found = tx.execute(select(subscriptions).order_by(subscriptions.c.id)).all()
    assert [row.next_period for row in found] == [10, 11, 2, 13]
    assert [row.plan for row in found][:2] == ODD[:2]


def test_nothing_is_nothing(db: Database) -> None:
    with db.transaction() as tx:
        assert insert_rows(tx, event_table, []) == 0
        assert insert_new(tx, event_table, [], "action") == {}
        assert update_rows(tx, subscriptions, []) == 0
