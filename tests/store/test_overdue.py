"""What dunning reads: who is overdue, which mail told of it, and what a subscription still owes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from billing.core.states import NoticeKind
from billing.lifecycle import notices
from billing.store import overdue
from billing.store.connection import Database
from tests.store.test_remote_checks import Ledger, row_of
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.written import payment_of

DAY = timedelta(days=1)


@pytest.fixture
def ledger(db: Database) -> Ledger:
    return Ledger(db)


@pytest.mark.parametrize(
    ("changes", "comes"),
    [
        ({}, True),
        ({"next_dun_on": TODAY - DAY}, True),
        ({"next_dun_on": TODAY + DAY}, False),
        ({"next_dun_on": None}, False),
        ({"looked_run_id": "run-0"}, False),  # not read in this cycle: never dun blindly
        ({"looked_run_id": None}, False),
        ({"attention": "it vanished"}, False),
        ({"state": "paid"}, False),
        ({"state": "uncollectible"}, False),
    ],
)
def test_what_is_overdue_was_read_as_unpaid_in_this_very_run(
    ledger: Ledger, changes: dict[str, Any], comes: bool
) -> None:
    usual: dict[str, Any] = {"remote_id": "a", "next_dun_on": TODAY, "looked_run_id": "run-1"}
    payment = ledger.add(**(usual | changes))
    with ledger.db.transaction() as tx:
        rows = overdue.overdue_page(tx, TODAY, "run-1", 0, 9)
        assert [row.id for row in rows] == ([payment] if comes else [])
        assert overdue.overdue_page(tx, TODAY, "run-1", payment, 9) == []


def test_a_step_of_dunning_is_noted_while_the_payment_is_open(ledger: Ledger) -> None:
    open_, paid = ledger.add(remote_id="a"), ledger.add("paid", remote_id="b")
    with ledger.db.transaction() as tx:
        for payment in (open_, paid):
            overdue.note_dunning(tx, payment, '[[1], 5, "keep"]', 1, TODAY + DAY)
    row = row_of(ledger.db, open_)
    assert (row.dunning_policy, row.dunning_step, row.next_dun_on) == ('[[1], 5, "keep"]', 1, TODAY + DAY)
    assert row_of(ledger.db, paid).dunning_step == 0


def test_the_mail_that_told_of_a_payment_comes_with_it(ledger: Ledger) -> None:
    payment = ledger.add(remote_id="a", next_dun_on=TODAY, looked_run_id="run-1")
    other = ledger.add(remote_id="b", next_dun_on=TODAY, looked_run_id="run-1")
    notice = notices.about_payment(NoticeKind.PAYMENT_OVERDUE, payment_of(ledger.db, payment), NOW, 3)
    with ledger.db.transaction() as tx:
        notices.queue(tx, [notice])
        overdue.note_dunning(tx, payment, '[[3], 5, "keep"]', 3, TODAY, notice["dedupe_key"])
        overdue.note_dunning(tx, payment, '[[3], 5, "keep"]', 3, TODAY)  # the key stays
        first, second = overdue.overdue_of(tx, TODAY, "run-1", [ledger.subscription])
        assert (first.told_state, second.told_state) == ("queued", None)
        assert [row.id for row in overdue.told_and_due(tx, TODAY)] == [payment]
        assert overdue.overdue_of(tx, TODAY, "run-1", [ledger.subscription + 1]) == []
        assert other == second.id


def test_what_is_owed_is_what_is_open_and_what_led_to_the_pause_oldest_first(db: Database) -> None:
    subscription, another = a_subscription(db), a_subscription(db, "another")
    kept = [
        a_payment(db, subscription, TODAY, state="open", remote_id="a"),
        a_payment(db, subscription, TODAY - DAY, state="uncollectible", remote_id="b", led_to_pause=1),
    ]
    a_payment(db, subscription, TODAY - 2 * DAY, state="uncollectible", remote_id="c")
    a_payment(db, subscription, TODAY - 3 * DAY, state="paid", remote_id="d", paid_at=NOW, led_to_pause=1)
    a_payment(db, subscription, TODAY - 4 * DAY, state="open", remote_id="e", attention="look")
    a_payment(db, subscription, TODAY - 5 * DAY)
    theirs = a_payment(db, another, state="open", remote_id="f", reference="another")
    with db.read() as tx:
        owed = overdue.owed_by(tx, [subscription, another, 99])
    assert {key: [row.id for row in rows] for key, rows in owed.items()} == {
        subscription: kept[::-1],
        another: [theirs],
    }
