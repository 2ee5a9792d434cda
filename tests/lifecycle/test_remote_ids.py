"""A remote record stands for one payment at a time, and what it stood for before keeps its id as history."""

from datetime import timedelta
from typing import Any

import pytest

from billing.core.event_text import EventAction
from billing.core.states import PaymentState
from billing.lifecycle import payments as verbs
from billing.lifecycle import remote_ids
from billing.lifecycle.payments import Found
from billing.store.connection import Database
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.written import Logged, log_of, nothing_changes, payment_of

LATER = NOW + timedelta(hours=1)
NEXT = TODAY + timedelta(days=28)
DAY = timedelta(days=1)
ACTOR = "run:run-1"


def test_a_payment_stands_for_its_double_only_if_it_still_stood_for_the_first(db: Database) -> None:
    row = payment_of(db, a_payment(db, a_subscription(db), state="open", remote_id="remote-1"))
    with nothing_changes(db), db.transaction() as tx:
        assert not remote_ids.replace_remote(tx, ACTOR, LATER, row, "remote-0", "remote-2")
    with db.transaction() as tx:
        assert remote_ids.replace_remote(tx, ACTOR, LATER, row, "remote-1", "remote-2")
    assert (payment_of(db, row.id).remote_id, payment_of(db, row.id).state) == ("remote-2", "open")
    assert log_of(db) == [
        Logged(ACTOR, "replaced", "a duplicate counts now: remote-2", row.subscription_id, row.id)
    ]


def two_periods(db: Database, **changes: Any) -> tuple[Any, Any]:
    """A paid payment with its record, and the next one, which is being sent."""
    subscription = a_subscription(db)
    made = {"remote_from_at": NOW - timedelta(days=28), "remote_by_at": NOW - timedelta(days=27)}
    paid = a_payment(db, subscription, **{"state": "paid", "remote_id": "r1", **made, **changes})
    following = a_payment(db, subscription, NEXT, state="sending")
    return payment_of(db, paid), payment_of(db, following)


def take(db: Database, following: Any) -> None:
    with db.transaction() as tx:
        found = [Found(following, "r1", LATER, taken=True)]
        verbs.open_payments(tx, ACTOR, LATER, NEXT, PaymentState.SENDING, found, EventAction.CREATED)


def test_a_record_that_is_taken_is_the_next_payments_and_was_made_when_it_was_made(db: Database) -> None:
    paid, following = two_periods(db)
    take(db, following)
    before, after = payment_of(db, paid.id), payment_of(db, following.id)
    assert (before.state, before.remote_id, before.former_remote_id) == ("paid", None, "r1")
    assert (after.state, after.remote_id, after.former_remote_id) == ("open", "r1", None)
    assert (after.remote_from_at, after.remote_by_at) == (paid.remote_from_at, paid.remote_by_at)
    assert after.looked_at == LATER
    detail = f"payment {following.id}, due {NEXT}"
    assert Logged(ACTOR, "handed_on", detail, paid.subscription_id, paid.id) in log_of(db)


@pytest.mark.parametrize("changes", [{"state": "open"}, {"state": "paid", "due_on": NEXT + DAY}])
def test_only_an_earlier_payment_that_is_paid_gives_its_record_up(
    db: Database, changes: dict[str, Any]
) -> None:
    subscription = a_subscription(db)
    a_payment(db, subscription, remote_id="r1", **changes)
    following = payment_of(db, a_payment(db, subscription, NEXT, state="sending"))
    with nothing_changes(db), pytest.raises(Exception, match="remote"):
        take(db, following)


def test_another_subscriptions_record_is_not_taken(db: Database) -> None:
    a_payment(db, a_subscription(db, "other"), state="paid", remote_id="r1")
    following = payment_of(db, a_payment(db, a_subscription(db), NEXT, state="sending"))
    with nothing_changes(db), pytest.raises(Exception, match="remote"):
        take(db, following)


def test_an_id_that_a_void_payment_had_is_free_again(db: Database) -> None:
    subscription = a_subscription(db)
    void = a_payment(db, subscription, state="void", remote_id="r1")
    kept = a_payment(db, subscription, NEXT, state="open", remote_id="r2")
    with db.transaction() as tx:
        remote_ids.free_ids(tx, ["r1", "r2"])
    assert (payment_of(db, void).remote_id, payment_of(db, kept).remote_id) == (None, "r2")


def test_the_date_that_a_paid_record_shows_is_noted(db: Database) -> None:
    row = payment_of(db, a_payment(db, a_subscription(db), state="paid"))
    with db.transaction() as tx:
        remote_ids.note_shown(tx, LATER, row, NEXT)
    assert payment_of(db, row.id).shown_on == NEXT
