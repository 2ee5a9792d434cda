"""The compare-and-set under every verb: along the table of states, from the state that was seen, counted."""

from datetime import timedelta
from typing import Any

import pytest

from billing.core.states import TRANSITIONS, PaymentState
from billing.errors import IllegalTransition, StoreError
from billing.lifecycle.moves import NOT_LOOKED, move, set_values
from billing.store.connection import Database
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.written import log_of, nothing_changes, payment_of

DAY = timedelta(days=1)
LATER = NOW + timedelta(hours=1)
S = PaymentState
PAIRS = [(old, new) for old in S for new in S]
LEGAL = [pair for pair in PAIRS if pair[1] in TRANSITIONS[pair[0]]]
ILLEGAL = [pair for pair in PAIRS if pair not in LEGAL]
# What the constraints ask of a state besides.
NEEDED: dict[PaymentState, dict[str, Any]] = {
    S.OPEN: {"remote_id": "remote-1"},
    S.PAID: {"paid_at": LATER},
    S.HELD: {"cause": "why"},
    S.PARKED: {"cause": "why"},
    S.SENDING: {"run_id": "run-1", "lease_until": LATER},
}


@pytest.mark.parametrize(("old", "new"), LEGAL)
def test_a_payment_moves_along_the_table(db: Database, old: PaymentState, new: PaymentState) -> None:
    row_id = a_payment(db, a_subscription(db), state=old, attempts=1)
    with db.transaction() as tx:
        assert move(tx, [row_id], old, new, LATER, **NEEDED.get(new, {})) == {row_id}
    after = payment_of(db, row_id)
    assert (after.state, after.updated_at) == (new, LATER)
    assert log_of(db) == []  # the event is the verb's to write


@pytest.mark.parametrize(("old", "new"), ILLEGAL)
def test_a_move_that_is_not_in_the_table_is_refused_before_a_row_is_touched(
    db: Database, old: PaymentState, new: PaymentState
) -> None:
    row_id = a_payment(db, a_subscription(db), state=old)
    refused = pytest.raises(IllegalTransition, match=f"{old} can't become {new}")
    with nothing_changes(db), refused, db.transaction() as tx:
        move(tx, [row_id], old, new, LATER, **NEEDED.get(new, {}))


def test_an_illegal_move_of_nothing_is_refused_as_well(db: Database) -> None:
    with db.transaction() as tx, pytest.raises(IllegalTransition):
        move(tx, [], S.PAID, S.PLANNED, LATER)


def test_of_many_those_move_that_are_still_as_they_were_seen(db: Database) -> None:
    subscription = a_subscription(db)
    states = ("planned", "held", "planned", "open")
    ids = [a_payment(db, subscription, TODAY + n * DAY, state=state) for n, state in enumerate(states)]
    bystander = a_payment(db, subscription, TODAY + 9 * DAY)
    with db.transaction() as tx:
        assert move(tx, [*ids, 4711], S.PLANNED, S.VOID, LATER, cause="a mistake") == {ids[0], ids[2]}
    assert [payment_of(db, row_id).state for row_id in ids] == ["void", "held", "void", "open"]
    assert payment_of(db, ids[1]).updated_at == NOW
    assert payment_of(db, bystander).state == "planned"


def test_a_payment_that_moved_once_does_not_move_a_second_time(db: Database) -> None:
    row_id = a_payment(db, a_subscription(db))
    with db.transaction() as tx:
        assert move(tx, [row_id], S.PLANNED, S.HELD, LATER, cause="the first") == {row_id}
    with nothing_changes(db), db.transaction() as tx:
        assert move(tx, [row_id], S.PLANNED, S.HELD, LATER + DAY, cause="the second") == set()
        assert move(tx, [], S.PLANNED, S.HELD, LATER, cause="nobody") == set()


def test_what_becomes_unknown_has_not_been_looked_for(db: Database) -> None:
    looked: dict[str, Any] = {"absent_looks": 2, "absent_at": NOW, "look_step": 4, "next_look_at": NOW}
    row_id = a_payment(db, a_subscription(db), state="held", **looked)
    with db.transaction() as tx:
        move(tx, [row_id], S.HELD, S.UNKNOWN, LATER)
    after = payment_of(db, row_id)
    assert {name: getattr(after, name) for name in looked} == NOT_LOOKED


def test_what_was_looked_for_keeps_it_on_any_other_way(db: Database) -> None:
    row_id = a_payment(db, a_subscription(db), state="unknown", absent_looks=2, absent_at=NOW)
    with db.transaction() as tx:
        move(tx, [row_id], S.UNKNOWN, S.PLANNED, LATER)
    assert (payment_of(db, row_id).absent_looks, payment_of(db, row_id).absent_at) == (2, NOW)


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [(S.PLANNED, S.HELD, "cause"), (S.OPEN, S.PAID, "paid_at"), (S.UNKNOWN, S.OPEN, "remote_id")],
)
def test_what_a_state_needs_is_asked_for_by_the_database(
    db: Database, old: PaymentState, new: PaymentState, missing: str
) -> None:
    row_id = a_payment(db, a_subscription(db), state=old)
    assert missing in NEEDED[new]
    with nothing_changes(db), pytest.raises(StoreError), db.transaction() as tx:
        move(tx, [row_id], old, new, LATER)


def test_columns_are_set_of_one_payment_whose_state_stays(db: Database) -> None:
    subscription = a_subscription(db)
    row_id, other = a_payment(db, subscription, state="open"), a_payment(db, subscription, TODAY + DAY)
    with db.transaction() as tx:
        assert set_values(tx, row_id, LATER, attention="look", next_dun_on=TODAY)
    after = payment_of(db, row_id)
    assert (after.state, after.attention, after.next_dun_on, after.updated_at) == (
        "open",
        "look",
        TODAY,
        LATER,
    )
    assert payment_of(db, other).updated_at == NOW


def test_a_payment_that_is_not_there_is_told(db: Database) -> None:
    with nothing_changes(db), db.transaction() as tx:
        assert not set_values(tx, 4711, LATER, attention="look")
