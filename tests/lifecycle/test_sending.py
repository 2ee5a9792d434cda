"""The write-ahead of a create: the intent before the socket, the outcome after it, and what died between."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from billing.core.event_text import EventAction
from billing.core.outcomes import CreateOutcome, OutcomeKind
from billing.core.states import PaymentState
from billing.lifecycle import sending
from billing.lifecycle.moves import move
from billing.lifecycle.payments import Found, open_payments
from billing.lifecycle.sending import Result
from billing.store import payments
from billing.store.connection import Database
from billing.store.models import events, notices
from billing.store.models import payments as table
from tests.support.databases import NOW, TODAY, a_payment, a_subscription

DAY = timedelta(days=1)
LEASE, DEADLINE = NOW + timedelta(seconds=40), NOW + timedelta(seconds=30)
DONE = NOW + timedelta(seconds=2)
WRITTEN = NOW + timedelta(seconds=3)


def payment(db: Database) -> Any:
    with db.read() as connection:
        return connection.execute(select(table)).one()


def all_rows(db: Database, of: Any) -> list[Any]:
    with db.read() as connection:
        return list(connection.execute(select(of).order_by(of.c.id)))


def attempts_of(db: Database, payment_id: int) -> list[Any]:
    with db.read() as connection:
        return payments.attempts_of(connection, payment_id)


def intended(db: Database, run_id: str = "run-1", count: int = 1, **changes: Any) -> list[Any]:
    """So many payments, planned and then on their way; answers their rows as submit has them."""
    subscription = a_subscription(db)
    for i in range(count):
        a_payment(db, subscription, TODAY - i * DAY, **changes)
    return take(db, run_id)


def take(db: Database, run_id: str = "run-1") -> list[Any]:
    with db.transaction() as tx:
        rows = payments.planned_page(tx, TODAY, 0, 100)
        sending.begin_sending(tx, run_id, rows, NOW, LEASE, DEADLINE)
    return rows


def write(db: Database, *results: Result, run_id: str = "run-1") -> list[Result]:
    with db.transaction() as tx:
        return sending.record_outcomes(tx, f"run:{run_id}", WRITTEN, TODAY, run_id, results).stale


def created(row: Any, remote_id: str = "remote-1") -> Result:
    return Result(row, CreateOutcome(OutcomeKind.CREATED, remote_id, 201), DONE)


def other(row: Any, kind: OutcomeKind, detail: str = "what it said", **changes: Any) -> Result:
    return Result(row, CreateOutcome(kind, detail=detail, **changes), DONE)


def recover(db: Database, now: Any = WRITTEN, exclusive: bool = True, limit: int = 100) -> int:
    with db.transaction() as tx:
        return sending.recover(tx, "run:run-2", now, exclusive, limit)


# -- intents ------------------------------------------------------------------------------------------


def test_an_intent_is_the_payments_state_and_a_new_attempt(db: Database) -> None:
    old: dict[str, Any] = {
        "absent_looks": 2,
        "absent_at": NOW,
        "look_step": 3,
        "next_look_at": NOW,
        "cause": "old",
    }
    (taken,) = intended(db, **old)
    row = payment(db)
    assert (row.state, row.run_id, row.attempts) == ("sending", "run-1", 1)
    assert (row.lease_until, row.deadline_at, row.remote_from_at) == (LEASE, DEADLINE, NOW)
    # The proof is kept for the case that it proves not to have been sent.
    assert (row.absent_looks, row.absent_at, row.look_step, row.next_look_at) == (2, NOW, 0, None)
    assert row.cause == ""
    (attempt,) = attempts_of(db, taken.id)
    assert (attempt.number, attempt.run_id, attempt.started_at) == (1, "run-1", NOW)
    assert (attempt.outcome, attempt.finished_at) == (None, None)


@pytest.mark.parametrize("state", ["held", "sending", "void", "open", "unknown"])
def test_an_intent_for_what_is_not_planned_any_more_stops_everything(db: Database, state: str) -> None:
    subscription = a_subscription(db)
    a_payment(db, subscription)
    a_payment(db, subscription, TODAY - DAY)
    with db.transaction() as tx:
        rows = payments.planned_page(tx, TODAY, 0, 9)
    changes: dict[str, Any] = {"state": state, "cause": "c", "remote_id": "r"}
    if state in ("open", "sending"):
        changes |= {"run_id": "other", "lease_until": LEASE, "attempts": 1}
    with db.transaction() as tx:
        if state == "open":
            tx.execute(table.update().where(table.c.id == rows[1].id).values(changes | {"state": "sending"}))
        tx.execute(table.update().where(table.c.id == rows[1].id).values(changes))
    with pytest.raises(RuntimeError, match="by another worker under our lock"), db.transaction() as tx:
        sending.begin_sending(tx, "run-1", rows, NOW, LEASE, DEADLINE)
    assert [row.state for row in all_rows(db, table)] == ["planned", state]
    assert attempts_of(db, rows[0].id) == []


# -- outcomes -----------------------------------------------------------------------------------------


def test_a_created_payment_is_open_with_its_notice_and_its_event(db: Database) -> None:
    (taken,) = intended(db)
    assert write(db, created(taken)) == []
    row = payment(db)
    assert (row.state, row.remote_id) == ("open", "remote-1")
    assert (row.remote_from_at, row.remote_by_at, row.looked_at) == (NOW, DONE, DONE)
    assert (row.payable_on, row.next_dun_on, row.lease_until) == (TODAY, TODAY + DAY, None)
    (notice,) = all_rows(db, notices)
    assert (notice.kind, notice.state, notice.payment_id) == ("payment_created", "queued", row.id)
    assert notice.dedupe_key == "payment_created.acme.2026-02-01"
    (line,) = all_rows(db, events)
    assert (line.actor, line.action, line.detail, line.payment_id) == (
        "run:run-1",
        "created",
        "remote-1",
        row.id,
    )
    (attempt,) = attempts_of(db, row.id)
    assert (attempt.outcome, attempt.status, attempt.finished_at) == ("created", 201, DONE)


def test_a_payment_that_was_charged_late_is_payable_from_today(db: Database) -> None:
    subscription = a_subscription(db)
    a_payment(db, subscription, TODAY - 40 * DAY)
    (taken,) = take(db)
    write(db, created(taken))
    assert (payment(db).payable_on, payment(db).next_dun_on) == (TODAY, TODAY + DAY)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (OutcomeKind.REFUSED, "rejected"),
        (OutcomeKind.UNAUTHORIZED, "planned"),
        (OutcomeKind.NOT_SENT, "planned"),
        (OutcomeKind.UNKNOWN, "unknown"),
    ],
)
def test_what_was_not_created_keeps_its_reason(db: Database, kind: OutcomeKind, state: str) -> None:
    (taken,) = intended(db)
    assert write(db, other(taken, kind, status=418)) == []
    row = payment(db)
    assert (row.state, row.cause, row.attention, row.remote_id) == (state, "what it said", "", None)
    assert (row.deadline_at, row.lease_until) == (DONE, None)  # nothing of ours is on its way any more
    (attempt,) = attempts_of(db, row.id)
    assert (attempt.outcome, attempt.status, attempt.detail) == (kind, 418, "what it said")
    assert [(line.action, line.detail) for line in all_rows(db, events)] == [(kind, "what it said")]
    assert all_rows(db, notices) == []


def test_a_mismatch_asks_for_a_persons_attention(db: Database) -> None:
    (taken,) = intended(db)
    write(db, other(taken, OutcomeKind.UNKNOWN, "another amount", mismatch=True))
    assert (payment(db).state, payment(db).attention) == ("unknown", "another amount")


def test_a_mixed_group_is_written_at_once(db: Database) -> None:
    rows = intended(db, count=5)
    kinds = [OutcomeKind.REFUSED, OutcomeKind.UNKNOWN, OutcomeKind.NOT_SENT]
    write(
        db,
        created(rows[0], "a"),
        *[other(row, kind) for row, kind in zip(rows[1:], kinds, strict=False)],
        created(rows[4], "b"),
    )
    states = [row.state for row in all_rows(db, table)]
    assert states == ["open", "rejected", "unknown", "planned", "open"]
    assert write(db) == []


def test_a_second_attempt_has_its_own_row(db: Database) -> None:
    (taken,) = intended(db)
    write(db, other(taken, OutcomeKind.NOT_SENT))
    (again,) = take(db, "run-2")
    write(db, created(again), run_id="run-2")
    found = [(a.number, a.run_id, a.outcome) for a in attempts_of(db, taken.id)]
    assert found == [(1, "run-1", "not_sent"), (2, "run-2", "created")]
    assert payment(db).attempts == 2


def test_an_id_that_another_payment_has_is_not_believed(db: Database) -> None:
    (first,) = intended(db)
    write(db, created(first, "remote-1"))
    a_payment(db, a_subscription(db, "other"), reference="other")
    (second,) = take(db)
    stolen = created(second, "remote-1")
    assert write(db, stolen) == [stolen]
    row = all_rows(db, table)[1]
    assert (row.state, row.remote_id) == ("unknown", None)
    assert row.attention == "the API answered with the id of another payment"
    assert attempts_of(db, second.id)[0].outcome == "unknown"


def test_one_id_for_two_payments_of_a_group_is_believed_of_neither(db: Database) -> None:
    rows = intended(db, count=3)
    same = [created(rows[0], "same"), created(rows[1], "same")]
    assert write(db, *same, created(rows[2], "mine")) == same
    assert [(row.state, row.remote_id) for row in all_rows(db, table)] == [
        ("unknown", None),
        ("unknown", None),
        ("open", "mine"),
    ]


@pytest.mark.parametrize("kind", OutcomeKind)
def test_a_result_that_comes_too_late_is_left_to_reconciliation(db: Database, kind: OutcomeKind) -> None:
    late_row, in_time = intended(db, count=2)
    with db.transaction() as tx:  # another run found the lease ended
        move(tx, [late_row.id], PaymentState.SENDING, PaymentState.UNKNOWN, NOW, cause="recovered")
    late = Result(late_row, CreateOutcome(kind, "remote-1"), DONE)
    assert write(db, late, created(in_time, "remote-2")) == [late]
    lost, written = all_rows(db, table)
    assert (lost.state, lost.remote_id, lost.cause) == ("unknown", None, "recovered")
    assert written.state == "open"
    assert attempts_of(db, late_row.id)[0].outcome == kind  # what was seen is history all the same


def test_what_came_of_an_attempt_is_written_once_though_it_is_told_twice(db: Database) -> None:
    (taken,) = intended(db)
    write(db, other(taken, OutcomeKind.UNKNOWN))
    again = created(taken)
    assert write(db, again) == [again]
    assert attempts_of(db, taken.id)[0].outcome == "unknown"
    assert payment(db).state == "unknown"


def test_a_result_does_not_touch_what_another_run_sends(db: Database) -> None:
    (taken,) = intended(db)
    recover(db)
    with db.transaction() as tx:
        move(tx, [taken.id], PaymentState.UNKNOWN, PaymentState.PLANNED, NOW)
    take(db, "run-2")
    late = created(taken)
    assert write(db, late) == [late]
    assert (payment(db).state, payment(db).run_id) == ("sending", "run-2")
    assert [a.outcome for a in attempts_of(db, taken.id)] == ["created", None]


# -- opening without a create of our own --------------------------------------------------------------


@pytest.mark.parametrize("old", [PaymentState.UNKNOWN, PaymentState.PARKED])
def test_a_payment_that_was_found_is_opened_likewise(db: Database, old: PaymentState) -> None:
    found = a_payment(db, a_subscription(db), state=old, cause="lost", next_look_at=NOW)
    with db.transaction() as tx:
        row = payments.find(tx, found)
        assert row is not None
        found_there = [Found(row, "remote-1", DONE)]
        queued = open_payments(tx, "run:2", WRITTEN, TODAY, old, found_there, EventAction.ADOPTED)
    assert queued == 1
    opened = payment(db)
    assert (opened.state, opened.remote_id, opened.remote_by_at) == ("open", "remote-1", DONE)
    assert (opened.cause, opened.next_look_at) == ("", None)
    assert [notice.kind for notice in all_rows(db, notices)] == ["payment_created"]
    assert [(line.actor, line.action) for line in all_rows(db, events)] == [("run:2", "adopted")]


def test_opening_what_somebody_else_moved_stops_everything(db: Database) -> None:
    found = a_payment(db, a_subscription(db), state="void")
    with db.transaction() as tx:
        row = payments.find(tx, found)
        assert row is not None
    opened, old = [Found(row, "remote-1", DONE)], PaymentState.UNKNOWN
    with pytest.raises(RuntimeError, match="moved by another worker"), db.transaction() as tx:
        open_payments(tx, "run:2", NOW, TODAY, old, opened, EventAction.ADOPTED)
    assert all_rows(db, notices) == []


# -- recovery -----------------------------------------------------------------------------------------


def test_alone_everything_left_sending_is_of_a_dead_run(db: Database) -> None:
    intended(db, count=3)
    assert recover(db, limit=2) == 2
    assert recover(db, limit=2) == 1
    assert recover(db, limit=2) == 0
    for row in all_rows(db, table):
        assert (row.state, row.lease_until) == ("unknown", None)
        assert row.cause == "its run died before the outcome was written"
        assert row.deadline_at == WRITTEN  # nothing of a dead run can be sent after now
    assert [line.action for line in all_rows(db, events)] == ["recovered"] * 3


def test_alone_a_deadline_that_has_passed_stays(db: Database) -> None:
    intended(db)
    recover(db, now=DEADLINE + DAY)
    assert payment(db).deadline_at == DEADLINE


def test_among_others_only_an_ended_lease_shows_a_dead_run(db: Database) -> None:
    intended(db)
    assert recover(db, now=LEASE, exclusive=False) == 0
    assert payment(db).state == "sending"
    assert recover(db, now=LEASE + timedelta(microseconds=1), exclusive=False) == 1
    assert (payment(db).state, payment(db).deadline_at) == ("unknown", DEADLINE)


def test_the_attempt_of_a_dead_run_keeps_its_open_end(db: Database) -> None:
    (taken,) = intended(db)
    recover(db)
    assert attempts_of(db, taken.id)[0].outcome is None


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_two_workers_recover_each_payment_once_without_waiting(db: Database) -> None:
    intended(db, count=2)
    with db.transaction() as one, db.transaction() as two:
        two.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        assert sending.recover(one, "run:run-2", WRITTEN, True, 1) == 1
        assert sending.recover(two, "run:run-3", WRITTEN, True, 9) == 1
    assert [line.actor for line in all_rows(db, events)] in (
        ["run:run-2", "run:run-3"],
        ["run:run-3", "run:run-2"],
    )


@pytest.mark.parametrize(
    ("kind", "looks"), [(OutcomeKind.NOT_SENT, 2), (OutcomeKind.REFUSED, 2), (OutcomeKind.UNKNOWN, 0)]
)
def test_a_proof_of_absence_outlives_only_what_made_nothing(
    db: Database, kind: OutcomeKind, looks: int
) -> None:
    a_payment(db, a_subscription(db), absent_looks=2, absent_at=NOW)
    (taken,) = take(db)
    write(db, other(taken, kind))
    assert payment(db).absent_looks == looks


def test_an_old_proof_counts_as_the_first_look_of_a_new_one(db: Database) -> None:
    subscription = a_subscription(db)
    old = a_payment(db, subscription, absent_looks=2, absent_at=NOW)
    a_payment(db, subscription, TODAY + DAY, absent_looks=2, absent_at=NOW + timedelta(seconds=1))
    a_payment(db, subscription, TODAY + 2 * DAY)
    with db.transaction() as tx:
        assert sending.expire_proofs(tx, "run:1", WRITTEN, NOW + timedelta(seconds=1)) == 1
    row = next(row for row in all_rows(db, table) if row.id == old)
    assert (row.state, row.absent_looks, row.absent_at, row.next_look_at) == ("unknown", 1, NOW, WRITTEN)
    assert [(line.action, line.payment_id) for line in all_rows(db, events)] == [("proof_expired", old)]
