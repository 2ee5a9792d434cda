"""The database itself refuses what must never be, whoever writes to it."""

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Connection, Table, delete, insert, select, update

from billing.core.event_text import EventAction
from billing.core.money import MAX_AMOUNT_MICROS
from billing.core.states import TRANSITIONS, NoticeKind, PaymentState
from billing.errors import StoreError
from billing.lifecycle.notices import new_notice
from billing.store.connection import Database
from billing.store.events import event, record
from billing.store.models import attempts, events, identity, notices, payments, subscriptions
from tests.support.databases import NOW, TODAY, a_payment, a_subscription, payment_values

DAY = timedelta(days=1)
Case = tuple[str, Any]


def accepted(db: Database, cases: Iterable[Case]) -> list[str]:
    """The names of those statements that the database did not refuse."""
    taken = []
    for name, statement in cases:
        try:
            with db.transaction() as tx:
                tx.execute(statement)
        except StoreError:
            continue
        taken.append(name)
    return taken


def inserting(table: Table, good: dict[str, Any], bad: list[dict[str, Any]]) -> list[Case]:
    """Statements that differ from a good row in one thing each."""
    return [(f"{table.name} {change}", insert(table).values(good | change)) for change in bad]


def subscription_row(**changes: Any) -> dict[str, Any]:
    return {
        "reference": "new",
        "plan": "p",
        "name": "n",
        "email": "e@example.org",
        "amount_micros": 1,
        "interval_count": 1,
        "interval_unit": "month",
        "anchor_on": TODAY,
        "status": "active",
        "next_period": 0,
        "created_at": NOW,
        "updated_at": NOW,
    } | changes


def notice_row(key: str = "key", **changes: Any) -> dict[str, Any]:
    return new_notice(NoticeKind.NEXT_PAYMENT_DUE, key, NOW) | changes


def attempt_row(payment_id: int, number: int = 1, **changes: Any) -> dict[str, Any]:
    row = {"payment_id": payment_id, "number": number, "run_id": "r", "started_at": NOW, "detail": ""}
    return row | changes


def an_attempt(db: Database, payment_id: int, **changes: Any) -> int:
    with db.transaction() as tx:
        made = insert(attempts).values(attempt_row(payment_id, **changes)).returning(attempts.c.id)
        return int(tx.execute(made).scalar_one())


def test_subscriptions_that_must_not_be(db: Database) -> None:
    a_subscription(db)
    bad: list[dict[str, Any]] = [
        {"reference": "acme"},
        {"amount_micros": 0},
        {"amount_micros": -1},
        {"amount_micros": MAX_AMOUNT_MICROS + 1},
        {"interval_count": 0},
        {"interval_unit": "fortnight"},
        {"status": "dormant"},
        {"next_period": -1},
        {"reference": None},
        {"email": None},
        {"anchor_on": None},
    ]
    assert accepted(db, inserting(subscriptions, subscription_row(), bad)) == []
    assert accepted(db, inserting(subscriptions, subscription_row(), [{}])) == ["subscriptions {}"]


def test_payments_that_must_not_be(db: Database) -> None:
    subscription = a_subscription(db)
    a_payment(db, subscription, state="open", remote_id="r1")
    other = a_subscription(db, "other")
    good = payment_values(other, TODAY + DAY)
    bad = [
        {"subscription_id": subscription, "due_on": TODAY},  # the one charge for one period
        {"marker": payment_values(subscription)["marker"]},
        {"remote_id": "r1"},
        {"subscription_id": 4711},
        {"subscription_id": None},
        {"amount_micros": 0},
        {"amount_micros": MAX_AMOUNT_MICROS + 1},
        {"period_end_on": TODAY},
        {"state": "lost"},
        {"state": None},
        {"state": "open"},  # without the remote payment
        {"state": "paid", "paid_at": NOW},
        {"state": "uncollectible"},
        {"state": "paid", "remote_id": "r2"},  # without the instant
        {"state": "held"},  # without the cause
        {"state": "parked"},
        {"state": "sending", "run_id": "r", "lease_until": NOW},  # without an attempt
        {"state": "sending", "run_id": "r", "attempts": 1},  # without a lease
        {"state": "sending", "lease_until": NOW, "attempts": 1},  # without a run
    ]
    assert accepted(db, inserting(payments, good, bad)) == []
    assert accepted(db, inserting(payments, good, [{}])) == ["payments {}"]


def test_attempts_notices_and_identities_that_must_not_be(db: Database) -> None:
    payment = a_payment(db, a_subscription(db))
    an_attempt(db, payment)
    with db.transaction() as tx:
        tx.execute(insert(notices).values(notice_row("taken")))
    an_identity = {
        "id": 1,
        "environment": "sandbox",
        "business_fingerprint": "f",
        "generation": 0,
        "reminder_offsets": "",
    }
    cases = [
        *inserting(attempts, attempt_row(payment), [{}, {"number": 2, "payment_id": 4711}, {"number": None}]),
        *inserting(
            notices,
            notice_row(),
            [
                {"dedupe_key": "taken"},
                {"kind": "spam"},
                {"state": "lost"},
                {"state": "sending", "lease_until": NOW},  # not rendered
                {"state": "sent"},
                {"state": "unknown"},
                {"state": "sending", "message_id": "<1@x>"},  # without a lease
                {"subscription_id": 4711},
                {"payment_id": 4711},
            ],
        ),
        *inserting(identity, an_identity, [{"id": 2}, {"environment": None}]),
    ]
    assert accepted(db, cases) == []
    assert accepted(db, inserting(identity, an_identity, [{}])) == ["identity {}"]
    assert accepted(db, inserting(identity, an_identity, [{}])) == []


def test_a_payment_moves_along_the_table_alone(db: Database) -> None:
    """Every pair of states, written past the program's own check."""
    subscription = a_subscription(db)
    needed = {
        "remote_id": "r",
        "paid_at": NOW,
        "cause": "c",
        "run_id": "r",
        "lease_until": NOW,
        "attempts": 1,
    }
    moved = set()
    for i, (old, new) in enumerate(product(PaymentState, PaymentState)):
        row = a_payment(db, subscription, TODAY + i * DAY, state=old, **(needed | {"remote_id": f"r{i}"}))
        if accepted(db, [("", update(payments).where(payments.c.id == row).values(state=new.value))]):
            moved.add((old, new))
    legal = {(old, new) for old, targets in TRANSITIONS.items() for new in targets}
    assert moved == legal | {(state, state) for state in PaymentState}


def test_what_a_payment_is_for_never_changes(db: Database) -> None:
    subscription, other = a_subscription(db), a_subscription(db, "other")
    payment = a_payment(db, subscription)

    def changing(**values: Any) -> Case:
        return str(values), update(payments).where(payments.c.id == payment).values(values)

    keys = [changing(subscription_id=other), changing(due_on=TODAY + DAY), changing(marker="RB-OTHER")]
    assert accepted(db, keys) == []
    assert accepted(db, [changing(cause="seen", attention="look", updated_at=NOW + DAY)])


def test_history_is_only_added_to(db: Database) -> None:
    payment = a_payment(db, a_subscription(db))
    an_attempt(db, payment)
    with db.transaction() as tx:
        record(tx, [event(NOW, "run:1", EventAction.PLANNED, payment_id=payment)])
        tx.execute(insert(notices).values(notice_row()))
    cases: list[Case] = [
        ("rewrite an event", update(events).values(detail="never happened")),
        ("rewrite an event to itself", update(events).values(detail=events.c.detail)),
        ("delete an event", delete(events)),
        ("delete an attempt", delete(attempts)),
        ("delete a payment", delete(payments)),
        ("delete a notice", delete(notices)),
        ("delete a billed subscription", delete(subscriptions)),
    ]
    assert accepted(db, cases) == []
    with db.read() as connection:
        assert [row.action for row in connection.execute(select(events))] == ["planned"]


def test_the_outcome_of_an_attempt_is_written_once(db: Database) -> None:
    payment = a_payment(db, a_subscription(db))
    attempt = an_attempt(db, payment)

    def writing(**values: Any) -> Case:
        return str(values), update(attempts).where(attempts.c.id == attempt).values(values)

    assert accepted(db, [writing(number=7), writing(payment_id=4711)]) == []
    assert accepted(db, [writing(outcome="unknown", finished_at=NOW)])
    assert accepted(db, [writing(outcome="created"), writing(outcome=None), writing(detail="other")]) == []
    with db.read() as connection:
        assert connection.execute(select(attempts.c.outcome)).scalar_one() == "unknown"


def test_a_refused_row_of_many_undoes_the_whole_statement(db: Database) -> None:
    subscription = a_subscription(db)
    a_payment(db, subscription, state="void")
    a_payment(db, subscription, TODAY + DAY, state="held")
    assert accepted(db, [("", update(payments).values(state="planned"))]) == []
    with db.read() as connection:
        assert states(connection) == ["void", "held"]


def states(connection: Connection) -> list[str]:
    return list(connection.execute(select(payments.c.state).order_by(payments.c.id)).scalars())


@pytest.mark.parametrize("day", [date(1, 1, 1), date(9999, 12, 31)])
def test_the_ends_of_the_calendar_can_be_stored(db: Database, day: date) -> None:
    a_subscription(db, anchor_on=day)
    with db.read() as connection:
        assert connection.execute(select(subscriptions.c.anchor_on)).scalar_one() == day
