"""Payments that exist at Mileston: opened when found, booked when paid, flagged, and counted once."""

from datetime import timedelta
from typing import Any

import pytest

from billing.core.dunning import first_dunning_on
from billing.core.event_text import EventAction
from billing.core.reasons import VANISHED
from billing.core.states import NoticeKind, PaymentState
from billing.errors import IllegalTransition
from billing.lifecycle import notices
from billing.lifecycle import payments as verbs
from billing.lifecycle.payments import Found
from billing.store.connection import Database
from billing.store.models import notices as notice_table
from billing.store.models import payments as table
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.written import Logged, log_of, nothing_changes, outbox_of, payment_of, rows_of

DAY = timedelta(days=1)
LATER = NOW + timedelta(hours=1)
ACTOR = "run:run-1"
NOT_OPENED = [state for state in PaymentState if state not in ("sending", "unknown", "parked")]


def read_payments(db: Database, *states: str, **changes: Any) -> list[Any]:
    """Payments of one subscription, a day apart, as the verb's caller has read them."""
    subscription = a_subscription(db)
    return [
        payment_of(db, a_payment(db, subscription, TODAY + n * DAY, state=state, **changes))
        for n, state in enumerate(states)
    ]


def opened(db: Database, old: PaymentState, *found: Found) -> int:
    with db.transaction() as tx:
        return verbs.open_payments(tx, ACTOR, LATER, TODAY, old, found, EventAction.ADOPTED)


# -- open ----------------------------------------------------------------------------------------------


def test_what_was_found_is_open_with_its_id_its_day_its_notice_and_its_event(db: Database) -> None:
    one, two = read_payments(db, "unknown", "unknown", cause="no answer", next_look_at=NOW)
    found = [Found(one, "remote-1", NOW), Found(two, "remote-2", LATER)]
    assert opened(db, PaymentState.UNKNOWN, *found) == 2
    for row, each in zip(rows_of(db, table), found, strict=True):
        assert (row.state, row.remote_id, row.remote_by_at) == ("open", each.remote_id, each.by_at)
        assert (row.looked_at, row.next_look_at, row.lease_until) == (each.by_at, None, None)
        assert (row.cause, row.updated_at) == ("", LATER)
        assert (row.payable_on, row.next_dun_on) == (row.due_on, first_dunning_on(row.due_on))
    assert outbox_of(db) == [
        ("payment_created", f"payment_created.acme.{row.due_on}", row.id) for row in (one, two)
    ]
    assert log_of(db) == [
        Logged(ACTOR, "adopted", "remote-1", one.subscription_id, one.id),
        Logged(ACTOR, "adopted", "remote-2", two.subscription_id, two.id),
    ]


def test_what_was_due_before_is_payable_from_today(db: Database) -> None:
    row = payment_of(db, a_payment(db, a_subscription(db), TODAY - 9 * DAY, state="unknown"))
    opened(db, PaymentState.UNKNOWN, Found(row, "remote-1", NOW))
    after = payment_of(db, row.id)
    assert (after.payable_on, after.next_dun_on) == (TODAY, first_dunning_on(TODAY))


def test_of_what_another_copy_made_the_mail_may_have_gone_out_already(db: Database) -> None:
    ours, theirs = read_payments(db, "unknown", "unknown")
    found = [Found(ours, "remote-1", NOW), Found(theirs, "remote-2", NOW, made_elsewhere=True)]
    assert opened(db, PaymentState.UNKNOWN, *found) == 2
    assert [row.facts for row in rows_of(db, notice_table)] == ["", notices.PERHAPS_SENT]


def test_one_that_another_worker_moved_stops_all_of_them(db: Database) -> None:
    one, two = read_payments(db, "unknown", "unknown")
    with db.transaction() as tx:
        tx.execute(table.update().where(table.c.id == two.id).values(state="planned"))
    with nothing_changes(db), pytest.raises(RuntimeError, match="by another worker under our lock"):
        opened(db, PaymentState.UNKNOWN, Found(one, "remote-1", NOW), Found(two, "remote-2", NOW))


@pytest.mark.parametrize("state", NOT_OPENED)
def test_nothing_else_is_ever_opened(db: Database, state: PaymentState) -> None:
    (row,) = read_payments(db, state)
    with nothing_changes(db), pytest.raises(IllegalTransition, match="can't become open"):
        opened(db, state, Found(row, "remote-9", NOW))


def test_nothing_found_opens_nothing(db: Database) -> None:
    read_payments(db, "unknown")
    with nothing_changes(db):
        assert opened(db, PaymentState.UNKNOWN) == 0


# -- resolve -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [PaymentState.UNKNOWN, PaymentState.PARKED])
@pytest.mark.parametrize("amount_micros", [None, 12_000_000])
def test_what_a_person_found_is_open_and_a_vouched_amount_is_its_own(
    db: Database, old: PaymentState, amount_micros: int | None
) -> None:
    (row,) = read_payments(db, old, attention="look")
    found = Found(row, "remote-1", NOW)
    with db.transaction() as tx:
        assert verbs.resolve(tx, "person:zoe", LATER, TODAY, old, found, "seen there", amount_micros) == 1
    after = payment_of(db, row.id)
    assert (after.state, after.remote_id, after.attention) == ("open", "remote-1", "")
    assert after.amount_micros == (amount_micros or row.amount_micros)
    assert {(line.actor, line.action) for line in log_of(db)} == {("person:zoe", "resolved")}
    assert [line.detail for line in log_of(db)] == ["remote-1", "seen there"]
    assert [notice[0] for notice in outbox_of(db)] == ["payment_created"]


def test_a_person_who_gives_no_reason_leaves_one_line(db: Database) -> None:
    (row,) = read_payments(db, "parked")
    with db.transaction() as tx:
        verbs.resolve(tx, "person:zoe", LATER, TODAY, PaymentState.PARKED, Found(row, "remote-1", NOW), "")
    assert [line.detail for line in log_of(db)] == ["remote-1"]


def test_what_a_cycle_found_first_is_not_resolved_a_second_time(db: Database) -> None:
    (row,) = read_payments(db, "parked")
    opened(db, PaymentState.PARKED, Found(row, "remote-1", NOW))
    with (
        nothing_changes(db),
        pytest.raises(RuntimeError, match="by another worker under our lock"),
        db.transaction() as tx,
    ):
        verbs.resolve(tx, "person:zoe", LATER, TODAY, PaymentState.PARKED, Found(row, "other", NOW), "why")


# -- paid, or given up --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["open", "uncollectible"])
def test_what_is_paid_has_its_receipt_and_is_not_dunned_any_more(db: Database, state: str) -> None:
    (row,) = read_payments(db, state, next_dun_on=TODAY, attention="look at it", payable_on=TODAY)
    with db.transaction() as tx:
        assert verbs.book_paid(tx, ACTOR, LATER, TODAY, "run-7", [row]) == ([row], 1)
    after = payment_of(db, row.id)
    assert (after.paid_at, after.looked_at, after.looked_run_id) == (LATER, LATER, "run-7")
    # What a person was called for is for a person to dismiss.
    assert (after.next_dun_on, after.attention) == (None, "look at it")
    assert outbox_of(db) == [("payment_received", f"payment_received.acme.{TODAY}", row.id)]


def test_of_many_only_those_that_were_still_unpaid_are_booked(db: Database) -> None:
    rows = read_payments(db, "open", "open", "uncollectible", "paid")
    with db.transaction() as tx:
        tx.execute(table.update().where(table.c.id == rows[1].id).values(state="void"))
        assert verbs.book_paid(tx, ACTOR, LATER, TODAY, "run-1", rows) == ([rows[0], rows[2]], 2)
        assert verbs.book_paid(tx, ACTOR, LATER, TODAY, "run-1", []) == ([], 0)
    assert [row.state for row in rows_of(db, table)] == ["paid", "void", "paid", "paid"]
    assert [line.payment_id for line in log_of(db)] == [rows[0].id, rows[2].id]
    assert [notice[2] for notice in outbox_of(db)] == [rows[0].id, rows[2].id]


def test_a_receipt_that_was_ever_queued_is_not_queued_again(db: Database) -> None:
    (row,) = read_payments(db, "open")
    with db.transaction() as tx:
        receipt = notices.about_payment(NoticeKind.PAYMENT_RECEIVED, row, NOW)
        assert notices.queue(tx, [receipt]) == 1
        assert verbs.book_paid(tx, ACTOR, LATER, TODAY, "run-1", [row]) == ([row], 0)
    assert payment_of(db, row.id).state == "paid"
    assert len(outbox_of(db)) == 1


# -- flags ---------------------------------------------------------------------------------------------


def test_a_flag_is_raised_once_for_each_thing_to_look_at_and_the_state_stays(db: Database) -> None:
    (row,) = read_payments(db, "open")
    with db.transaction() as tx:
        assert verbs.flag(tx, ACTOR, LATER, row, "its amount differs")
    with nothing_changes(db), db.transaction() as tx:
        assert not verbs.flag(tx, ACTOR, LATER + DAY, row, "its amount differs")
    with db.transaction() as tx:
        assert verbs.flag(tx, ACTOR, LATER, row, "its address differs")
    after = payment_of(db, row.id)
    assert (after.state, after.attention, after.updated_at) == ("open", "its address differs", LATER)
    assert log_of(db) == [
        Logged(ACTOR, "attention", detail, row.subscription_id, row.id)
        for detail in ("its amount differs", "its address differs")
    ]


def test_what_is_not_found_any_more_is_flagged_as_vanished(db: Database) -> None:
    (row,) = read_payments(db, "paid")
    with db.transaction() as tx:
        assert verbs.flag_vanished(tx, ACTOR, LATER, row)
        assert not verbs.flag_vanished(tx, ACTOR, LATER, row)
    assert payment_of(db, row.id).attention == VANISHED
    assert log_of(db) == [Logged(ACTOR, "vanished", VANISHED, row.subscription_id, row.id)]


def test_a_flag_is_lowered_without_a_line_and_can_be_raised_again(db: Database) -> None:
    (row,) = read_payments(db, "open", attention="its amount differs")
    with db.transaction() as tx:
        assert verbs.unflag(tx, LATER, row)
    assert payment_of(db, row.id).attention == ""
    assert log_of(db) == []
    with db.transaction() as tx:
        assert verbs.flag(tx, ACTOR, LATER, row, "its amount differs")
