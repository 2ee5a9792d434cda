"""Periods that become payments, once each, and those that are not to be sent now."""

from datetime import timedelta
from typing import Any

from billing.core.markers import marker_for
from billing.lifecycle import payments as verbs
from billing.lifecycle.payments import NewPayment
from billing.store.connection import Database
from billing.store.models import payments as table
from tests.support.databases import NOW, TODAY, a_payment, a_subscription, changed
from tests.support.written import Logged, log_of, nothing_changes, payment_of, rows_of

DAY = timedelta(days=1)
LATER = NOW + timedelta(hours=1)
ACTOR = "run:run-1"


def new_payment(subscription_id: int, number: int, **changes: Any) -> NewPayment:
    """The period that begins `number` days from today."""
    due_on = TODAY + number * DAY
    row: NewPayment = {
        "subscription_id": subscription_id,
        "period": number,
        "due_on": due_on,
        "period_end_on": due_on,
        "amount_micros": 19_900_000,
        "marker": marker_for("acme", due_on),
        "state": "planned",
        "cause": "",
        "attention": "",
        "attempts": 0,
        "absent_looks": 0,
        "look_step": 0,
        "dunning_step": 0,
        "remote_from_at": NOW,
        "deadline_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return changed(row, **changes)


def test_a_new_period_is_planned_held_or_unknown_and_its_event_says_which(db: Database) -> None:
    subscription = a_subscription(db)
    rows = [
        new_payment(subscription, 0),
        new_payment(subscription, 1, state="held", cause="over the catch-up limit"),
        new_payment(subscription, 2, state="unknown", cause="restored"),
    ]
    with db.transaction() as tx:
        assert verbs.plan(tx, ACTOR, NOW, rows) == rows
    stored = {row.marker: row for row in rows_of(db, table)}
    assert [stored[row["marker"]].state for row in rows] == ["planned", "held", "unknown"]
    assert log_of(db) == [
        Logged(ACTOR, "planned", f"due {TODAY}", subscription, stored[rows[0]["marker"]].id),
        Logged(ACTOR, "held", "over the catch-up limit", subscription, stored[rows[1]["marker"]].id),
        Logged(ACTOR, "unknown", "restored", subscription, stored[rows[2]["marker"]].id),
    ]


def test_a_period_that_has_its_payment_is_not_planned_again_and_says_nothing(db: Database) -> None:
    subscription = a_subscription(db)
    known = a_payment(db, subscription, state="open")
    new = new_payment(subscription, 1)
    with db.transaction() as tx:
        assert verbs.plan(tx, ACTOR, LATER, [new_payment(subscription, 0), new]) == [new]
    assert [(row.state, row.due_on) for row in rows_of(db, table)] == [
        ("open", TODAY),
        ("planned", TODAY + DAY),
    ]
    assert [line.payment_id for line in log_of(db)] != [known]
    assert len(log_of(db)) == 1
    with nothing_changes(db), db.transaction() as tx:
        assert verbs.plan(tx, ACTOR, LATER, [new]) == []


def test_each_held_payment_has_its_own_cause(db: Database) -> None:
    subscription = a_subscription(db)
    ids = [a_payment(db, subscription, TODAY + n * DAY) for n in range(3)]
    rows = [payment_of(db, row_id) for row_id in ids]
    with db.transaction() as tx:
        tx.execute(table.update().where(table.c.id == rows[1].id).values(state="void"))
    causes = {ids[0]: "the amount", ids[1]: "the number", ids[2]: "the number"}
    with db.transaction() as tx:
        assert verbs.hold(tx, ACTOR, LATER, rows, causes) == [rows[0], rows[2]]
    assert [(row.state, row.cause) for row in rows_of(db, table)] == [
        ("held", "the amount"),
        ("void", ""),
        ("held", "the number"),
    ]
    assert [(line.payment_id, line.detail) for line in log_of(db)] == [
        (ids[0], "the amount"),
        (ids[2], "the number"),
    ]
