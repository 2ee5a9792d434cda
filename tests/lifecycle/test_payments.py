"""Each verb of a payment: from the right state it moves with one event; from any other nothing happens."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from billing.core.reconciling import PROOF
from billing.core.states import TRANSITIONS, PaymentState
from billing.errors import IllegalTransition
from billing.lifecycle import dunning
from billing.lifecycle import payments as verbs
from billing.store.connection import Database
from billing.store.models import payments as table
from billing.store.tx import Tx
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.written import Logged, log_of, nothing_changes, payment_of, rows_of

DAY = timedelta(days=1)
LATER = NOW + timedelta(hours=1)
ACTOR = "run:run-1"
STATES = [state.value for state in PaymentState]

Verb = Callable[[Tx, Any], object]
# One row at a time: how the verb is called, from which states, to which, the action, and its detail.
MOVES: dict[str, tuple[Verb, set[str], str, str, str]] = {
    "hold": (
        lambda tx, row: verbs.hold(tx, ACTOR, LATER, [row], {row.id: "over the limit"}),
        {"planned"},
        "held",
        "held",
        "over the limit",
    ),
    "book_paid": (
        lambda tx, row: verbs.book_paid(tx, ACTOR, LATER, TODAY, "run-1", [row])[0],
        {"open", "uncollectible"},
        "paid",
        "paid",
        "",
    ),
    "mark_uncollectible": (
        lambda tx, row: dunning.mark_uncollectible(tx, ACTOR, LATER, row, 30),
        {"open"},
        "uncollectible",
        "uncollectible",
        "unpaid for 30 days",
    ),
    "mark_unknown": (
        lambda tx, row: verbs.mark_unknown(tx, ACTOR, LATER, row, "seen in the list"),
        {"planned", "held"},
        "unknown",
        "turned_up",
        "seen in the list",
    ),
    "mark_absent": (
        lambda tx, row: verbs.mark_absent(tx, ACTOR, LATER, row, 2, NOW),
        {"unknown"},
        "planned",
        "proved_absent",
        "2 looks at the list, and it is not there",
    ),
    "park": (
        lambda tx, row: verbs.park(tx, ACTOR, LATER, row, "it matches twice"),
        {"unknown"},
        "parked",
        "parked",
        "it matches twice",
    ),
    "release": (
        lambda tx, row: verbs.release(tx, ACTOR, LATER, row, "it is right", None),
        {"held", "rejected", "parked"},
        "planned",
        "released",
        "it is right",
    ),
    "plan_again": (
        lambda tx, row: verbs.plan_again(tx, ACTOR, LATER, row, "it is not there"),
        {"unknown", "parked"},
        "planned",
        "resolved",
        "it is not there",
    ),
    "void": (
        lambda tx, row: verbs.void(tx, ACTOR, LATER, [row], "a mistake"),
        {"planned", "held", "rejected", "parked", "open"},
        "void",
        "void",
        "a mistake",
    ),
}
RIGHT = [(name, state) for name, move in MOVES.items() for state in sorted(move[1])]
# These move what their caller read, wherever the table of states allows it; who calls them has looked.
AS_READ = ("release", "plan_again", "mark_unknown")
WRONG = [
    (name, state)
    for name, (_, right, new, _, _) in MOVES.items()
    for state in STATES
    if state not in right and not (name in AS_READ and PaymentState(new) in TRANSITIONS[PaymentState(state)])
]
# Where each state goes on to when another worker is quicker.
MOVED_ON: dict[str, dict[str, Any]] = {
    "planned": {"state": "void"},
    "held": {"state": "void"},
    "rejected": {"state": "void"},
    "parked": {"state": "void"},
    "unknown": {"state": "open", "remote_id": "remote-other"},
    "open": {"state": "void"},
    "uncollectible": {"state": "paid", "paid_at": NOW},
}


def read_payment(db: Database, state: str, **changes: Any) -> Any:
    """A payment in this state, as the verb's caller has read it."""
    return payment_of(db, a_payment(db, a_subscription(db), state=state, **changes))


def move_on(db: Database, row: Any) -> None:
    """Another worker is quicker: the row in the database is not any more what was read."""
    with db.transaction() as tx:
        tx.execute(table.update().where(table.c.id == row.id).values(MOVED_ON[row.state]))


def done(db: Database, verb: Verb, row: Any) -> object:
    with db.transaction() as tx:
        return verb(tx, row)


@pytest.mark.parametrize(("name", "state"), RIGHT)
def test_from_the_right_state_it_moves_and_one_event_says_so(db: Database, name: str, state: str) -> None:
    verb, _, new, action, detail = MOVES[name]
    row = read_payment(db, state)
    assert done(db, verb, row) in (True, [row])
    after = payment_of(db, row.id)
    assert (after.state, after.updated_at, after.created_at) == (new, LATER, NOW)
    assert log_of(db) == [Logged(ACTOR, action, detail, row.subscription_id, row.id)]


@pytest.mark.parametrize(("name", "state"), WRONG)
def test_from_any_other_state_nothing_changes_and_the_answer_says_so(
    db: Database, name: str, state: str
) -> None:
    verb = MOVES[name][0]
    row = read_payment(db, state)
    with nothing_changes(db):
        try:
            answer = done(db, verb, row)
        except IllegalTransition:
            answer = False
        assert answer in (False, [])


@pytest.mark.parametrize(("name", "state"), RIGHT)
def test_a_row_that_another_worker_moved_stays_as_it_is(db: Database, name: str, state: str) -> None:
    row = read_payment(db, state)
    move_on(db, row)
    with nothing_changes(db):
        assert done(db, MOVES[name][0], row) in (False, [])


# -- what else each verb writes ------------------------------------------------------------------------


def test_what_may_exist_is_looked_for_from_now_on_whatever_was_proved_before(db: Database) -> None:
    row = read_payment(db, "planned", absent_looks=2, absent_at=NOW, look_step=3, next_look_at=NOW)
    done(db, MOVES["mark_unknown"][0], row)
    after = payment_of(db, row.id)
    assert (after.cause, after.deadline_at) == ("seen in the list", LATER)
    assert (after.absent_looks, after.absent_at, after.look_step, after.next_look_at) == (0, None, 0, None)


def test_the_proof_of_an_absence_stays_with_the_payment(db: Database) -> None:
    row = read_payment(db, "unknown", cause="no answer", absent_looks=1)
    done(db, MOVES["mark_absent"][0], row)
    after = payment_of(db, row.id)
    assert (after.cause, after.absent_looks, after.absent_at) == ("", 2, NOW)


@pytest.mark.parametrize(("proof", "kept"), [(None, (1, None)), ((2, LATER), (2, LATER))])
def test_what_is_parked_keeps_its_cause_and_the_looks_that_did_not_find_it(
    db: Database, proof: Any, kept: Any
) -> None:
    row = read_payment(db, "unknown", absent_looks=1)
    with db.transaction() as tx:
        assert verbs.park(tx, ACTOR, LATER, row, "nobody knows", proof)
    after = payment_of(db, row.id)
    assert (after.cause, after.absent_looks, after.absent_at) == ("nobody knows", *kept)


@pytest.mark.parametrize(
    ("uncertain_through", "looks", "state"),
    [
        (None, 0, "planned"),
        (TODAY, 0, "unknown"),
        (TODAY, PROOF - 1, "unknown"),
        (TODAY, PROOF, "planned"),
        (TODAY - DAY, 0, "planned"),
    ],
)
def test_what_a_restored_database_may_have_sent_is_looked_for_before_it_is_sent_again(
    db: Database, uncertain_through: date | None, looks: int, state: str
) -> None:
    row = read_payment(db, "held", absent_looks=looks, attention="look")
    with db.transaction() as tx:
        assert verbs.release(tx, ACTOR, LATER, row, "it is right", uncertain_through)
    after = payment_of(db, row.id)
    assert (after.state, after.cause, after.attention) == (state, "", "")
    assert [line.action for line in log_of(db)] == ["released"]


def test_what_is_void_asks_for_nobody_any_more(db: Database) -> None:
    row = read_payment(db, "open", next_dun_on=TODAY, attention="look", payable_on=TODAY)
    done(db, MOVES["void"][0], row)
    after = payment_of(db, row.id)
    assert (after.cause, after.attention, after.next_dun_on) == ("a mistake", "", None)


def test_payments_of_several_states_are_voided_together_and_those_that_moved_are_left_out(
    db: Database,
) -> None:
    subscription = a_subscription(db)
    states = ("planned", "held", "rejected")
    rows = [
        payment_of(db, a_payment(db, subscription, TODAY + n * DAY, state=state))
        for n, state in enumerate(states)
    ]
    with db.transaction() as tx:
        tx.execute(table.update().where(table.c.id == rows[1].id).values(state="planned"))
        assert verbs.void(tx, ACTOR, LATER, rows, "cancelled") == [rows[0], rows[2]]
        assert verbs.void(tx, ACTOR, LATER, [], "cancelled") == []
    assert [row.state for row in rows_of(db, table)] == ["void", "planned", "void"]
    assert [line.payment_id for line in log_of(db)] == [rows[0].id, rows[2].id]


def test_one_payment_that_cannot_be_voided_stops_the_whole_call(db: Database) -> None:
    subscription = a_subscription(db)
    rows = [
        payment_of(db, a_payment(db, subscription, TODAY, state="planned")),
        payment_of(db, a_payment(db, subscription, TODAY + DAY, state="unknown")),
    ]
    with nothing_changes(db), pytest.raises(IllegalTransition, match="unknown can't become void"):
        done(db, lambda tx, _: verbs.void(tx, ACTOR, LATER, rows, "cancelled"), rows)
