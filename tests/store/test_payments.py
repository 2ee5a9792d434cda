"""Payments in the store: planned once, moved by compare-and-set, and shared out among workers."""

from datetime import date, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import select

from billing.core.states import PaymentState as S
from billing.errors import IllegalTransition
from billing.lifecycle import needs
from billing.lifecycle import payments as verbs
from billing.lifecycle.moves import move
from billing.store import payments
from billing.store.connection import Database
from billing.store.models import events
from billing.store.models import payments as table
from tests.support.databases import NOW, TODAY, a_payment, a_subscription, payment_values

DAY = timedelta(days=1)
only_postgresql = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)


def new_payment(subscription: int, due_on: date = TODAY) -> verbs.NewPayment:
    return cast("verbs.NewPayment", payment_values(subscription, due_on))


def rows(db: Database) -> list[Any]:
    with db.read() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)))


def test_new_payments_are_answered_by_marker(db: Database) -> None:
    subscription = a_subscription(db)
    wanted = [new_payment(subscription, TODAY + i * DAY) for i in range(700)]  # more than one batch
    with db.transaction() as tx:
        new = verbs.plan(tx, "run:1", NOW, wanted)
    assert new == wanted
    assert [row.marker for row in rows(db)] == [row["marker"] for row in wanted]
    with db.read() as connection:
        assert [line.action for line in connection.execute(select(events))] == ["planned"] * 700


def test_a_period_that_has_its_payment_is_no_error_and_left_alone(db: Database) -> None:
    subscription = a_subscription(db)
    a_payment(db, subscription, state="open")
    wanted = [new_payment(subscription), new_payment(subscription, TODAY + DAY)]
    with db.transaction() as tx:
        new = verbs.plan(tx, "run:1", NOW, wanted)
        assert verbs.plan(tx, "run:1", NOW, wanted) == []
        assert verbs.plan(tx, "run:1", NOW, []) == []
    assert new == wanted[1:]
    assert [(row.due_on, row.state) for row in rows(db)] == [(TODAY, "open"), (TODAY + DAY, "planned")]


def test_the_same_period_twice_in_one_batch_is_one_payment(db: Database) -> None:
    subscription = a_subscription(db)
    with db.transaction() as tx:
        verbs.plan(tx, "run:1", NOW, [new_payment(subscription)] * 2)
    assert len(rows(db)) == 1


def test_a_payment_moves_only_from_the_state_that_was_seen(db: Database) -> None:
    subscription = a_subscription(db)
    planned = a_payment(db, subscription)
    held = a_payment(db, subscription, TODAY + DAY, state="held")
    later = NOW + timedelta(hours=1)
    with db.transaction() as tx:
        assert move(tx, [planned, held, 4711], S.PLANNED, S.VOID, later, cause="why") == {planned}
        assert move(tx, [planned], S.PLANNED, S.VOID, later) == set()
        assert move(tx, [], S.PLANNED, S.VOID, later) == set()
    first, second = rows(db)
    assert (first.state, first.cause, first.updated_at) == ("void", "why", later)
    assert (second.state, second.updated_at) == ("held", NOW)


def test_a_move_that_the_table_does_not_know_is_refused_before_the_database_is_asked(db: Database) -> None:
    with db.transaction() as tx, pytest.raises(IllegalTransition):
        move(tx, [], S.PAID, S.PLANNED, NOW)


@pytest.mark.parametrize("old", ["planned", "held"])
def test_what_becomes_unknown_again_must_be_looked_for_from_the_start(db: Database, old: str) -> None:
    # An earlier proof of absence says nothing about a create that may have come after it.
    looked: dict[str, Any] = {"absent_looks": 1, "absent_at": NOW, "look_step": 4, "next_look_at": NOW + DAY}
    payment = a_payment(db, a_subscription(db), state=old, **looked)
    with db.transaction() as tx:
        move(tx, [payment], S(old), S.UNKNOWN, NOW, cause="turned up")
    (row,) = rows(db)
    assert (row.absent_looks, row.absent_at, row.look_step, row.next_look_at) == (0, None, 0, None)
    assert row.cause == "turned up"


def test_what_is_to_be_sent_comes_by_id_due_by_today_and_in_pages(db: Database) -> None:
    subscription = a_subscription(db)
    ids = [a_payment(db, subscription, TODAY - i * DAY) for i in range(4)]
    a_payment(db, subscription, TODAY + DAY)  # not due
    for i, state in enumerate(set(S) - {S.PLANNED}):
        a_payment(db, subscription, TODAY - (10 + i) * DAY, state=state)
    with db.transaction() as tx:
        first = payments.planned_page(tx, TODAY, 0, 3)
        rest = payments.planned_page(tx, TODAY, first[-1].id, 3)
        assert payments.count_planned(tx, TODAY) == 4
        assert payments.count_planned(tx, TODAY, first[-1].id) == 1
    assert [row.id for row in [*first, *rest]] == ids
    assert (first[0].reference, first[0].email, first[0].status) == (
        "acme",
        "zoe.quillfeather@example.org",
        "active",
    )


@only_postgresql
def test_a_worker_skips_what_another_is_sending_without_waiting(db: Database) -> None:
    subscription = a_subscription(db)
    ids = [a_payment(db, subscription, TODAY - i * DAY) for i in range(4)]
    with db.transaction() as one, db.transaction() as other:
        other.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        taken = [row.id for row in payments.planned_page(one, TODAY, 0, 3)]
        left = [row.id for row in payments.planned_page(other, TODAY, 0, 3)]
    assert (taken, left) == (ids[:3], ids[3:])


def test_one_payment_is_found_with_its_subscription(db: Database) -> None:
    payment = a_payment(db, a_subscription(db, status="paused"))
    with db.transaction() as tx:
        row = payments.find(tx, payment)
        assert row is not None
        assert (row.id, row.reference, row.subscription_status) == (payment, "acme", "paused")
        assert payments.find(tx, 4711) is None


def test_the_list_is_by_due_date_and_can_be_narrowed(db: Database) -> None:
    acme, other = a_subscription(db), a_subscription(db, "other")
    late = a_payment(db, acme, TODAY + DAY, state="open", attention="look")
    early = a_payment(db, acme, TODAY, state="held")
    theirs = a_payment(db, other, TODAY, reference="other")
    with db.read() as connection:

        def ids(*args: Any, **kwargs: Any) -> list[int]:
            return [row.id for row in payments.listing(connection, *args, **kwargs)]

        assert ids() == [early, theirs, late]
        assert ids(["planned", "open"]) == [theirs, late]
        assert ids([S.HELD]) == [early]
        assert ids(subscription_id=acme) == [early, late]
        assert ids(attention=True) == [late]
        assert ids(["void"]) == []


def test_a_flag_is_set_and_taken_back(db: Database) -> None:
    payment = a_payment(db, a_subscription(db), state="paid")
    with db.transaction() as tx:
        row = payments.find(tx, payment)
        assert row is not None
        assert verbs.flag(tx, "run:1", NOW, row, "it vanished")
        assert not verbs.flag(tx, "run:1", NOW, row, "it vanished")  # once is enough
        assert needs.waiting(tx, NOW, False).payments == 1
        assert verbs.unflag(tx, NOW, row)
        assert needs.waiting(tx, NOW, False).payments == 0


def test_sums_and_counts_by_state(db: Database) -> None:
    subscription = a_subscription(db)
    for i, state in enumerate(S):
        a_payment(db, subscription, TODAY + i * DAY, state=state, amount_micros=10**i)
    a_payment(db, subscription, TODAY - DAY, state="paid", amount_micros=999_999_999_999_999)
    a_payment(db, subscription, TODAY - 2 * DAY, state="held", attention="counted once")
    with db.read() as connection:
        by_state = payments.count_by_state(connection)
        assert set(by_state) == set(S)
        assert by_state["paid"] == (2, 999_999_999_999_999 + 10 ** list(S).index(S.PAID))
        assert needs.waiting(connection, NOW + DAY, False).payments == 5
        paid, open_ = payments.paid_sums(connection)
    assert paid == by_state["paid"][1]
    assert open_ == by_state["open"][1]


def test_an_empty_store_sums_to_nothing(db: Database) -> None:
    with db.read() as connection:
        assert payments.paid_sums(connection) == (0, 0)
        assert payments.count_by_state(connection) == {}
        assert needs.waiting(connection, NOW, False).payments == 0


def test_the_last_day_that_is_charged(db: Database) -> None:
    acme, other, none = (a_subscription(db, name) for name in ("acme", "other", "none"))
    a_payment(db, acme, TODAY)
    a_payment(db, acme, TODAY + DAY, state="void")
    a_payment(db, other, TODAY - DAY, reference="other")
    with db.read() as connection:
        ends = {p.due_on: p.period_end_on for p in payments.listing(connection)}
        assert payments.charged_through(connection, [acme, other, none]) == {
            acme: ends[TODAY],  # what was voided charges no day
            other: ends[TODAY - DAY],
        }
