"""What was agreed when, in words."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from billing.app.terms_told import agreed
from billing.lifecycle import versions
from billing.store import subscriptions
from billing.store.connection import Database
from tests.support.databases import NOW, TODAY, a_subscription

UTC = ZoneInfo("UTC")
DAY = timedelta(days=1)


def told(db: Database, offset: int) -> list[str]:
    with db.transaction() as tx:
        row = subscriptions.find(tx, "acme")
        assert row is not None
        return list(agreed(row, versions.of(tx, row.id), TODAY + offset * DAY, UTC))


def test_terms_that_never_changed_are_one_sentence(db: Database) -> None:
    a_subscription(db)
    assert told(db, 0) == [f"Gold plan: 19.90 USDC every month, counted from {TODAY}."]


def test_each_day_has_its_own_and_is_told_of_what_follows(db: Database) -> None:
    a_subscription(db)
    with db.transaction() as tx:
        row = subscriptions.find(tx, "acme")
        assert row is not None
        new = versions.billed(row)
        new["amount_micros"] = 5_000_000
        first = TODAY + 28 * DAY
        versions.note(tx, "person:zoe", NOW, [{"old": row, "new": new, "holds_from": first}])
        new["plan"] = "Silver"
        versions.wait(tx, "person:zoe", NOW, row, new, TODAY + 59 * DAY, "plan")
    before, *coming = told(db, 0)
    assert before.startswith("Gold plan: 19.90 USDC every month")
    assert [each.partition(":")[0] for each in coming] == [
        f"From {first} on",
        f"From {TODAY + 59 * DAY} on",
    ]
    assert coming[1].endswith("it is agreed and waits.")
    now, waiting = told(db, 30)
    assert now == (
        f"Gold plan: 5.00 USDC every month, counted from {TODAY}; agreed on {NOW:%Y-%m-%d}, by zoe, for "
        f"what is due from {first} on."
    )
    assert "Silver" in waiting
