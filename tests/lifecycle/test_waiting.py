"""Terms that wait come to hold with the period that they are for, and with none before."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from billing.app import agreements
from billing.app.agreements import Desk
from billing.app.runtime import utc_now
from billing.lifecycle import versions
from billing.lifecycle.terms import Rules
from billing.lifecycle.waiting import come_to_hold
from billing.store import subscriptions
from billing.store.connection import Database
from tests.support.business import Business
from tests.support.databases import NOW, TODAY, a_payment, a_subscription, set_subscription
from tests.support.decisions import DAY, SETTINGS

RULES = Rules(TODAY, SETTINGS.reminders, catch_up_limit=3)


def row_of(db: Database) -> Any:
    with db.transaction() as tx:
        return subscriptions.find(tx, "acme")


def test_an_unsent_payment_due_before_keeps_its_price_and_a_later_one_takes_the_new(db: Database) -> None:
    subscription = a_subscription(db, next_due_on=TODAY + 28 * DAY, next_period=1)
    row = row_of(db)
    before = a_payment(db, subscription, TODAY, state="held", cause="safety limit", amount_micros=19_900_000)
    with db.transaction() as tx:
        new: Any = versions.billed(row) | {"amount_micros": 25_000_000}
        versions.wait(tx, "person:zoe", NOW, row, new, TODAY + 28 * DAY, "amount")
        assert come_to_hold(tx, "run:1", NOW, RULES) == 1
        assert come_to_hold(tx, "run:1", NOW, RULES) == 0
    with db.read() as tx:
        from billing.store import payments

        kept = payments.find(tx, before)
    assert kept is not None
    assert kept.amount_micros == 19_900_000
    row = row_of(db)
    assert (row.amount_micros, row.price_from, row.change_on) == (25_000_000, TODAY + 28 * DAY, None)


def test_a_paused_one_takes_them_when_it_goes_on(db: Database) -> None:
    subscription = a_subscription(db)
    row = row_of(db)
    with db.transaction() as tx:
        new: Any = versions.billed(row) | {"plan": "Silver"}
        versions.wait(tx, "person:zoe", NOW, row, new, TODAY + 28 * DAY, "plan")
        set_subscription(tx, subscription, NOW, status="paused", next_due_on=TODAY + 59 * DAY, next_period=2)
        assert come_to_hold(tx, "run:1", NOW, RULES) == 1
    assert (row_of(db).plan, row_of(db).status) == ("Silver", "paused")


def test_a_story_a_higher_price_is_told_and_asked_on_its_day_and_catching_up_mixes_nothing(
    business: Business,
) -> None:
    """Weeks go by without a run: each period is asked at the price that was agreed for it."""
    today = utc_now().date()
    start = today - timedelta(days=1)
    business.subscribe(f"ada,Gold,Ada,ada@example.com,10.00,1 week,{start}")
    business.run(today)
    with business.store() as db:
        done = agreements.change(Desk(db, business.config.settings, utc_now()), "ada", {"amount": "12.00"})
    raised = start + timedelta(days=35)
    assert f"from {raised} on" in done.told[-1]
    business.run(today)
    assert [key for key in (n["dedupe_key"] for n in business.notices()) if key.startswith("terms_changed")]

    business.run(raised + timedelta(days=7))  # seven periods are due at once
    by_day = {p["due_on"]: p["amount"] for p in business.payments()}

    expected: dict[str, str] = {}
    for week in range(7):
        day = start + timedelta(days=7 * week)
        expected[str(day)] = "12.00" if day >= raised else "10.00"
    assert by_day == expected
    assert date.fromisoformat(min(by_day)) == start
