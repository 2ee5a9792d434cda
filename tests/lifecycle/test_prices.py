"""A price that is agreed anew holds for whatever does not exist at Mileston yet."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from billing.core.states import PaymentState
from billing.lifecycle.prices import catch_up_price, reprice
from billing.store import payments as queries
from billing.store.connection import Database
from billing.store.models import payments as table
from billing.store.models import subscriptions
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.written import log_of, nothing_changes, payment_of, rows_of

DAY = timedelta(days=1)
LATER = NOW + timedelta(hours=1)


def read_payments(db: Database, *states: str) -> list[Any]:
    """Payments of one subscription, a day apart, as the verb's caller has read them."""
    subscription = a_subscription(db)
    return [
        payment_of(db, a_payment(db, subscription, TODAY + n * DAY, state=state))
        for n, state in enumerate(states)
    ]


def test_only_what_does_not_exist_at_mileston_takes_a_new_price(db: Database) -> None:
    rows = read_payments(db, *PaymentState)
    other = a_subscription(db, "other")
    theirs = a_payment(db, other, reference="other")
    with db.transaction() as tx:
        told = reprice(tx, "person:zoe", LATER, rows[0].subscription_id, 25_000_000)
    repriced = {row.state for row in rows_of(db, table) if row.amount_micros == 25_000_000}
    assert repriced == {"planned", "held", "rejected"}
    assert payment_of(db, theirs).amount_micros == 19_900_000
    unsent = [row for row in rows if row.state in repriced]
    assert told == [f"the {row.state} payment due {row.due_on}: 19.90 USDC -> 25.00 USDC" for row in unsent]
    assert [line.payment_id for line in log_of(db)] == [row.id for row in unsent]
    assert {(line.action, line.detail) for line in log_of(db)} == {
        ("changed", "amount: 19.90 USDC -> 25.00 USDC")
    }


def test_the_same_price_again_changes_nothing(db: Database) -> None:
    (row,) = read_payments(db, "planned")
    with nothing_changes(db), db.transaction() as tx:
        assert reprice(tx, "person:zoe", LATER, row.subscription_id, row.amount_micros) == []


def test_what_was_planned_again_after_its_price_had_changed_takes_the_new_one(db: Database) -> None:
    """It was being sent when the price changed, and was not sent after all."""
    late, other = read_payments(db, "planned", "planned")
    with db.transaction() as tx:
        tx.execute(subscriptions.update().values(amount_micros=5_000_000))
        tx.execute(table.update().where(table.c.id == other.id).values(amount_micros=5_000_000))
    with db.transaction() as tx:
        rows = queries.planned_page(tx, TODAY + DAY, 0, 9)
        assert catch_up_price(tx, "run:1", LATER, rows) == 1
    assert {row.amount_micros for row in rows_of(db, table)} == {5_000_000}
    assert [(line.payment_id, line.detail) for line in log_of(db)] == [
        (late.id, "amount: 19.90 USDC -> 5.00 USDC")
    ]
