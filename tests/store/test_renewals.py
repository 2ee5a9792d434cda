"""Which records may come back, which period stands before the next, and what is noted of them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from billing.core.event_text import EventAction
from billing.core.reasons import RENEWED_TO
from billing.store import renewals
from billing.store.connection import Database
from billing.store.events import event, record
from tests.support.databases import NOW, TODAY, a_payment, a_subscription

DAY = timedelta(days=1)
JAN, DEC = date(2026, 1, 1), date(2025, 12, 1)


def one(db: Database, subscription_id: int, due_on: date, **changes: Any) -> int:
    """A payment with a marker of its own."""
    return a_payment(db, subscription_id, due_on, marker=f"RB-{subscription_id}-{due_on}", **changes)


def before(db: Database, **asked: bool) -> list[tuple[str, date]]:
    with db.read() as tx:
        return [(row.remote_id, row.next_due_on) for row in renewals.before_next(tx, TODAY, 0, 9, **asked)]


def stoppable(db: Database) -> list[str]:
    with db.read() as tx:
        found = [row.remote_id for row in renewals.to_stop(tx, TODAY, 0, 9)]
        assert renewals.count_to_stop(tx, TODAY) == len(found)
    return found


def test_the_nearest_record_before_what_is_about_to_be_sent(db: Database) -> None:
    acme = a_subscription(db)
    one(db, acme, DEC, state="paid", remote_id="dec")
    one(db, acme, JAN, state="paid", remote_id="jan")
    one(db, acme, TODAY)
    one(db, a_subscription(db, "other"), JAN, state="paid", remote_id="others")
    assert before(db) == [("jan", TODAY)]


def test_what_has_no_record_does_not_hide_the_one_before(db: Database) -> None:
    acme = a_subscription(db)
    one(db, acme, DEC, state="open", remote_id="dec")
    one(db, acme, JAN, state="held")
    one(db, acme, TODAY)
    assert before(db) == [("dec", TODAY)]
    assert before(db, paid=True) == []


def test_what_is_not_due_yet_is_not_about_to_be_sent(db: Database) -> None:
    acme = a_subscription(db)
    one(db, acme, JAN, state="paid", remote_id="jan")
    one(db, acme, TODAY + DAY)
    assert before(db) == []


def test_stopped_ones_and_others_can_be_told_apart(db: Database) -> None:
    for reference, at in (("ada", NOW), ("bob", None)):
        row = a_subscription(db, reference)
        one(db, row, JAN, state="paid", remote_id=reference, renewal_off_at=at)
        one(db, row, TODAY)
    assert before(db, stopped=True) == [("ada", TODAY)]
    assert before(db, stopped=False) == [("bob", TODAY)]


def test_a_released_payment_says_so(db: Database) -> None:
    acme = a_subscription(db)
    one(db, acme, JAN, state="paid", remote_id="jan")
    planned = one(db, acme, TODAY)
    with db.transaction() as tx:
        assert [row.let_go for row in renewals.before_next(tx, TODAY, 0, 9)] == [False]
        record(tx, [event(NOW, "person", EventAction.RELEASED, payment_id=planned)])
        assert [row.let_go for row in renewals.before_next(tx, TODAY, 0, 9)] == [True]


def test_what_follows_an_unknown_payment(db: Database) -> None:
    acme = a_subscription(db)
    unknown = one(db, acme, JAN, state="unknown")
    planned = one(db, acme, TODAY)
    other = a_subscription(db, "other")
    one(db, other, JAN, state="paid", remote_id="jan")
    one(db, other, TODAY)
    with db.read() as tx:
        assert renewals.after_unknown(tx, TODAY) == {planned: unknown}
        assert renewals.after_unknown(tx, TODAY - DAY) == {}


def test_paid_ones_are_to_be_stopped_once(db: Database) -> None:
    acme = a_subscription(db)
    row_id = one(db, acme, JAN, state="paid", remote_id="jan")
    one(db, acme, TODAY, state="open", remote_id="feb", period_end_on=TODAY + 27 * DAY)
    assert stoppable(db) == ["jan"]
    with db.transaction() as tx:
        renewals.mark_off(tx, [row_id], NOW)
    assert stoppable(db) == []
    with db.transaction() as tx:
        renewals.came_back(tx, [row_id])
    assert stoppable(db) == ["jan"]


@pytest.mark.parametrize("status", ["cancelled", "ended"])
def test_what_has_ended_is_to_be_stopped_though_unpaid(db: Database, status: str) -> None:
    acme = a_subscription(db, status=status)
    one(db, acme, TODAY, state="open", remote_id="feb", period_end_on=TODAY + 27 * DAY)
    one(db, acme, JAN, state="void", remote_id="jan")
    assert stoppable(db) == ["feb"]


def test_an_unpaid_period_is_to_be_stopped_the_day_before_it_ends(db: Database) -> None:
    acme = a_subscription(db)
    one(db, acme, JAN, state="open", remote_id="late", period_end_on=TODAY + 2 * DAY)
    one(db, acme, DEC, state="uncollectible", remote_id="soon", period_end_on=TODAY + DAY)
    assert stoppable(db) == ["soon"]


def test_what_a_person_was_told_of_is_left_alone(db: Database) -> None:
    told = RENEWED_TO.format(due_on=TODAY)
    acme = a_subscription(db)
    one(db, acme, JAN, state="paid", remote_id="jan", attention=f"{told}; more")
    one(db, acme, DEC, state="paid", remote_id="dec", attention="another matter")
    assert stoppable(db) == ["dec"]
    with db.read() as tx:
        assert renewals.count_renewed(tx) == 1


def test_the_state_of_a_period(db: Database) -> None:
    acme = a_subscription(db)
    one(db, acme, JAN, state="held")
    with db.read() as tx:
        assert renewals.state_of_period(tx, acme, JAN) == "held"
        assert renewals.state_of_period(tx, acme, DEC) is None
