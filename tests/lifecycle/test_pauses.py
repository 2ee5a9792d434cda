"""Pauses: until a day, and what ends with them."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import select

from billing.config import Settings
from billing.errors import UsageError
from billing.lifecycle import pauses
from billing.store import payments, subscriptions
from billing.store.connection import Database
from billing.store.models import notices
from billing.store.models import subscriptions as table
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.decisions import DAY

REMINDERS = Settings().reminders


def row_of(db: Database, reference: str = "acme") -> Any:
    with db.transaction() as tx:
        return subscriptions.find(tx, reference)


def pause_until(db: Database, day: date | None) -> None:
    with db.transaction() as tx:
        row = subscriptions.find(tx, "acme")
        assert row is not None
        assert pauses.pause(tx, "person:ada", NOW, row, "away", until=day) == 1


def end(db: Database, today: date) -> list[pauses.Resumed]:
    with db.transaction() as tx:
        return pauses.end_pauses(tx, "run:1", NOW, today, REMINDERS)


def kinds(db: Database) -> list[str]:
    with db.read() as tx:
        return list(tx.execute(select(notices.c.kind).order_by(notices.c.id)).scalars())


def test_it_goes_on_by_itself_on_its_day_and_the_pause_is_not_billed(db: Database) -> None:
    a_subscription(db, interval_count=1, interval_unit="week", next_due_on=TODAY)
    pause_until(db, TODAY + 10 * DAY)

    assert end(db, TODAY + 9 * DAY) == []
    (resumed,) = end(db, TODAY + 10 * DAY)

    row = row_of(db)
    assert (row.status, row.paused_until, row.next_due_on) == ("active", None, TODAY + 14 * DAY)
    assert resumed.next_due_on == TODAY + 14 * DAY
    assert kinds(db) == ["subscription_paused", "subscription_resumed"]
    assert end(db, TODAY + 11 * DAY) == []


def test_a_pause_without_a_day_waits_for_a_person(db: Database) -> None:
    a_subscription(db)
    pause_until(db, None)
    assert end(db, TODAY + 3000 * DAY) == []


def test_who_is_resumed_before_the_day_is_not_resumed_once_more(db: Database) -> None:
    a_subscription(db)
    pause_until(db, TODAY + 5 * DAY)
    with db.transaction() as tx:
        row = subscriptions.find(tx, "acme")
        assert row is not None
        pauses.resume(tx, "person:ada", NOW, TODAY, row, REMINDERS, "back early")
    assert row_of(db).paused_until is None
    assert end(db, TODAY + 6 * DAY) == []


def test_one_without_a_period_left_ends(db: Database) -> None:
    a_subscription(db, ends_on=TODAY)
    pause_until(db, TODAY + 40 * DAY)
    (ended,) = end(db, TODAY + 40 * DAY)
    assert (ended.next_due_on, row_of(db).status) == (None, "ended")


def test_what_the_pause_held_is_void_unless_it_covers_the_day(db: Database) -> None:
    subscription = a_subscription(db, interval_count=1, interval_unit="week", next_due_on=TODAY)
    held = a_payment(db, subscription, TODAY - 7 * DAY, state="held", cause="paused")
    pause_until(db, TODAY + 3 * DAY)
    end(db, TODAY + 3 * DAY)
    with db.read() as tx:
        payment = payments.find(tx, held)
    assert payment is not None
    assert payment.state == "held"  # a person's own hold, or that of a limit, is none of the pause's


def test_resuming_what_is_not_paused_is_refused(db: Database) -> None:
    a_subscription(db)
    with db.transaction() as tx:
        row = subscriptions.find(tx, "acme")
        assert row is not None
        with pytest.raises(UsageError, match="changed meanwhile"):
            pauses.resume(tx, "person:ada", NOW, TODAY, row, REMINDERS, "")
    with db.read() as tx:
        assert tx.execute(select(table.c.status)).scalar_one() == "active"
