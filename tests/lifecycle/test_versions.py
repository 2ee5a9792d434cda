"""What was agreed when: kept from the first change on, and nothing personal in it."""

from __future__ import annotations

from datetime import date
from typing import Any

from billing.lifecycle import versions
from billing.lifecycle.versions import Billed
from billing.store import subscriptions
from billing.store.connection import Database
from tests.support.databases import NOW, TODAY, a_subscription
from tests.support.decisions import DAY, outbox

ACTOR = "person:zoe"


def row_of(db: Database) -> Any:
    with db.transaction() as tx:
        return subscriptions.find(tx, "acme")


def other(row: Any, **changes: Any) -> Billed:
    return versions.billed(row) | changes  # type: ignore[return-value]


def held(db: Database) -> list[tuple[date, int, int]]:
    with db.read() as tx:
        return [(each.holds_from, each.amount_micros, each.waits) for each in versions.of(tx, row_of(db).id)]


def test_the_first_change_keeps_what_was_agreed_before(db: Database) -> None:
    a_subscription(db)
    row = row_of(db)
    with db.transaction() as tx:
        new = other(row, amount_micros=5_000_000)
        versions.note(tx, ACTOR, NOW, [{"old": row, "new": new, "holds_from": TODAY + 28 * DAY}])
    assert held(db) == [(TODAY, row.amount_micros, 0), (TODAY + 28 * DAY, 5_000_000, 0)]
    with db.transaction() as tx:
        newer = other(row, amount_micros=6_000_000)
        versions.note(tx, ACTOR, NOW, [{"old": row, "new": newer, "holds_from": TODAY + 59 * DAY}])
    assert [amount for _, amount, _ in held(db)] == [row.amount_micros, 5_000_000, 6_000_000]


def test_what_waits_is_ripe_when_its_day_is_due_next(db: Database) -> None:
    a_subscription(db)
    row = row_of(db)
    with db.transaction() as tx:
        versions.wait(tx, ACTOR, NOW, row, other(row, plan="Silver"), TODAY + 28 * DAY, "plan")
        assert versions.ripe(tx, 9) == []
    assert row_of(db).change_on == TODAY + 28 * DAY
    with db.transaction() as tx:
        versions.wait(tx, ACTOR, NOW, row, other(row, plan="Silver"), TODAY, "plan")
        assert [each.id for each in versions.ripe(tx, 9)] == [row.id]
    assert [waits for _, _, waits in held(db)] == [1]  # the other was dropped


def test_dropping_what_waits_withdraws_the_mail_that_was_not_sent(db: Database) -> None:
    a_subscription(db)
    row = row_of(db)
    new = other(row, amount_micros=1_000_000)
    with db.transaction() as tx:
        versions.wait(tx, ACTOR, NOW, row, new, TODAY + 28 * DAY, "amount")
        assert versions.tell(tx, NOW, row, new, TODAY + 28 * DAY) == 1
        versions.drop(tx, [row.id])
    assert (held(db), row_of(db).change_on) == ([], None)
    assert [letter.state for letter in outbox(db)] == ["superseded"]


def test_nobody_is_told_of_what_is_neither_price_nor_plan(db: Database) -> None:
    a_subscription(db)
    row = row_of(db)
    with db.transaction() as tx:
        assert versions.tell(tx, NOW, row, other(row, ends_on=TODAY + 90 * DAY), TODAY) == 0
