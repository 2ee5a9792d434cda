"""Each verb of a subscription: paused, resumed, cancelled and ended from the right status, and once."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from billing.config import Settings
from billing.core.states import SubscriptionStatus
from billing.errors import UsageError
from billing.lifecycle import pauses
from billing.lifecycle import subscriptions as verbs
from billing.lifecycle.subscriptions import Advance, Cancelled
from billing.store.connection import Database
from billing.store.models import notices, payments
from billing.store.tx import Tx
from tests.support.databases import NOW, TODAY, a_payment, a_subscription, changed, set_subscription
from tests.support.written import (
    Logged,
    log_of,
    nothing_changes,
    outbox_of,
    payment_of,
    rows_of,
    subscription_of,
)

DAY = timedelta(days=1)
LATER = NOW + timedelta(hours=1)
ACTOR = "person:zoe"
REMINDERS = Settings().reminders
NEXT_DUE = date(2026, 3, 1)
BILLED: dict[str, Any] = {"next_period": 1, "next_due_on": NEXT_DUE, "next_remind_on": date(2026, 2, 22)}
"""The period from 1 February on is planned; the next one is due on 1 March."""

Verb = Callable[[Tx, Any], object]
VERBS: dict[str, tuple[Verb, tuple[str, ...], str]] = {
    "pause": (
        lambda tx, row: pauses.pause(tx, ACTOR, LATER, row, "on leave"),
        ("active",),
        "subscription_paused",
    ),
    "resume": (
        lambda tx, row: pauses.resume(tx, ACTOR, LATER, TODAY, row, REMINDERS, "back"),
        ("paused",),
        "subscription_resumed",
    ),
    "cancel": (
        lambda tx, row: verbs.cancel(tx, ACTOR, LATER, TODAY, row, "moved away"),
        ("active", "paused"),
        "subscription_cancelled",
    ),
    "cancel_at_period_end": (
        lambda tx, row: verbs.cancel_at_period_end(tx, ACTOR, LATER, TODAY, row, "moved away"),
        ("active",),
        "subscription_cancelled",
    ),
}
RIGHT = [(name, status) for name, verb in VERBS.items() for status in verb[1]]
WRONG = [
    (name, status.value)
    for name, verb in VERBS.items()
    for status in SubscriptionStatus
    if status not in verb[1]
]


def read_subscription(db: Database, status: str = "active", **changes: Any) -> Any:
    """A subscription whose first period is planned, as the verb's caller has read it."""
    a_subscription(db, **{**BILLED, "status": status, **changes})
    return subscription_of(db)


def done(db: Database, name: str, row: Any) -> Any:
    with db.transaction() as tx:
        return VERBS[name][0](tx, row)


def refused_or_none(db: Database, name: str, row: Any) -> bool:
    """Whether the verb says that it changed nothing: by None, or by an error that names the subscription."""
    try:
        return done(db, name, row) is None
    except UsageError as error:
        return "acme" in str(error)


@pytest.mark.parametrize(("name", "status"), RIGHT)
def test_from_the_right_status_it_changes_and_one_event_says_so(db: Database, name: str, status: str) -> None:
    row = read_subscription(db, status)
    done(db, name, row)
    assert subscription_of(db).updated_at == LATER
    (line,) = log_of(db)
    assert (line.actor, line.action, line.subscription_id) == (ACTOR, VERBS[name][2], row.id)


@pytest.mark.parametrize(("name", "status"), WRONG)
def test_from_any_other_status_nothing_changes_and_the_answer_says_so(
    db: Database, name: str, status: str
) -> None:
    row = read_subscription(db, status)
    with nothing_changes(db):
        assert refused_or_none(db, name, row)


@pytest.mark.parametrize(("name", "status"), RIGHT)
def test_one_that_another_worker_changed_stays_as_it_is(db: Database, name: str, status: str) -> None:
    row = read_subscription(db, status)
    a_payment(db, row.id, NEXT_DUE)
    with db.transaction() as tx:
        set_subscription(tx, row.id, NOW, status="cancelled")
    with nothing_changes(db):
        assert refused_or_none(db, name, row)


# -- pause and resume ----------------------------------------------------------------------------------


def test_a_pause_keeps_the_schedule_and_tells_the_subscriber(db: Database) -> None:
    row = read_subscription(db)
    assert done(db, "pause", row) == 1
    after = subscription_of(db)
    assert (after.status, after.next_period, after.next_due_on) == ("paused", 1, NEXT_DUE)
    assert log_of(db) == [Logged(ACTOR, "subscription_paused", "on leave", row.id)]
    assert outbox_of(db) == [("subscription_paused", f"subscription_paused.acme.{LATER:%Y%m%dT%H%M%S}", None)]


def test_a_pause_for_an_unpaid_payment_is_told_as_that_payments(db: Database) -> None:
    row = read_subscription(db)
    unpaid = payment_of(db, a_payment(db, row.id, state="uncollectible"))
    with db.transaction() as tx:
        assert pauses.pause(tx, "run:1", LATER, row, "unpaid", unpaid) == 1
    assert outbox_of(db) == [("subscription_paused", f"subscription_paused.acme.{TODAY}", unpaid.id)]


@pytest.mark.parametrize(
    ("today", "period", "due_on"),
    [
        (TODAY, 1, "2026-03-01"),  # the pause was over before the next due date
        (date(2026, 3, 1), 1, "2026-03-01"),
        (date(2026, 3, 2), 2, "2026-04-01"),
        (date(2026, 7, 15), 6, "2026-08-01"),
    ],
)
def test_after_a_pause_the_schedule_goes_on_from_the_next_due_date(
    db: Database, today: date, period: int, due_on: str
) -> None:
    row = read_subscription(db, "paused", next_remind_on=None)
    with db.transaction() as tx:
        due = pauses.resume(tx, ACTOR, LATER, today, row, REMINDERS, "back").next_due_on
    after = subscription_of(db)
    assert (after.status, after.next_period, after.next_due_on) == ("active", period, due)
    assert due == date.fromisoformat(due_on)
    assert after.next_remind_on == due - DAY * max(REMINDERS.days_before)
    assert log_of(db) == [Logged(ACTOR, "subscription_resumed", f"back; next due {due_on}", row.id)]
    assert [kind for kind, _, _ in outbox_of(db)] == ["subscription_resumed"]


def test_a_resumption_without_a_reason_says_when_it_goes_on(db: Database) -> None:
    row = read_subscription(db, "paused")
    with db.transaction() as tx:
        pauses.resume(tx, ACTOR, LATER, TODAY, row, REMINDERS, "")
    assert log_of(db)[0].detail == f"next due {NEXT_DUE}"


@pytest.mark.parametrize("end", [{"ends_on": date(2026, 2, 28)}, {"cancel_on": NEXT_DUE}])
def test_what_has_no_period_left_stays_paused(db: Database, end: dict[str, date]) -> None:
    row = read_subscription(db, "paused", **end)
    with nothing_changes(db), pytest.raises(UsageError, match="no period is left before it ends"):
        done(db, "resume", row)


# -- cancel --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["active", "paused"])
def test_a_cancellation_voids_what_is_not_at_mileston_and_leaves_the_rest_owed(
    db: Database, status: str
) -> None:
    row = read_subscription(db, status)
    states = ("planned", "held", "rejected", "parked", "unknown", "open", "paid", "uncollectible")
    ids = [a_payment(db, row.id, TODAY - n * DAY, state=state) for n, state in enumerate(states)]
    other = a_subscription(db, "other")
    theirs = a_payment(db, other, reference="other")
    assert done(db, "cancel", row) == Cancelled(TODAY, voided=3, notices_queued=1)
    after = subscription_of(db)
    assert (after.status, after.cancel_on) == ("cancelled", TODAY)
    assert (after.next_due_on, after.next_remind_on) == (None, None)
    assert [payment_of(db, row_id).state for row_id in ids] == ["void"] * 3 + list(states[3:])
    assert payment_of(db, theirs).state == "planned"
    why = "its subscription was cancelled"
    assert log_of(db) == [
        *[Logged(ACTOR, "void", why, row.id, row_id) for row_id in ids[:3]],
        Logged(ACTOR, "subscription_cancelled", f"moved away; last day {TODAY}", row.id),
    ]


def test_a_cancellation_is_told_with_the_last_day(db: Database) -> None:
    row = read_subscription(db)
    done(db, "cancel", row)
    (notice,) = rows_of(db, notices)
    assert (notice.dedupe_key, notice.subscription_id) == ("subscription_cancelled.acme.2026-02-01", row.id)
    assert json.loads(notice.facts) == {"last_day": TODAY.isoformat()}


def test_a_cancellation_for_an_unpaid_payment_is_told_as_that_payments(db: Database) -> None:
    row = read_subscription(db)
    unpaid = payment_of(db, a_payment(db, row.id, state="uncollectible"))
    with db.transaction() as tx:
        cancelled = verbs.cancel(tx, "run:1", LATER, TODAY, row, "unpaid", unpaid)
    assert cancelled == Cancelled(TODAY, voided=0, notices_queued=1)
    assert outbox_of(db) == [("subscription_cancelled", f"subscription_cancelled.acme.{TODAY}", unpaid.id)]


@pytest.mark.parametrize(
    ("changes", "today", "ends"),
    [
        ({}, TODAY, NEXT_DUE),
        ({"next_period": 0, "next_due_on": TODAY}, TODAY, NEXT_DUE),  # due today, and not planned yet
        ({}, date(2026, 3, 10), date(2026, 4, 1)),  # no cycle ran since 1 March
        ({"next_due_on": None, "ends_on": date(2026, 2, 28)}, TODAY, NEXT_DUE),
    ],
)
def test_at_the_periods_end_what_is_paid_for_runs_out(
    db: Database, changes: dict[str, Any], today: date, ends: date
) -> None:
    row = read_subscription(db, **changes)
    planned = a_payment(db, row.id)
    with db.transaction() as tx:
        cancelled = verbs.cancel_at_period_end(tx, ACTOR, LATER, today, row, "")
    assert cancelled == Cancelled(ends - DAY, voided=0, notices_queued=1)
    after = subscription_of(db)
    assert (after.status, after.cancel_on, after.next_remind_on) == ("active", ends, None)
    assert (after.next_period, after.next_due_on) == (row.next_period, row.next_due_on)
    assert payment_of(db, planned).state == "planned"
    assert log_of(db) == [Logged(ACTOR, "subscription_cancelled", f"last day {ends - DAY}", row.id)]
    assert json.loads(rows_of(db, notices)[0].facts) == {"last_day": (ends - DAY).isoformat()}


def test_one_that_was_to_end_later_and_ends_now_is_told_of_its_new_last_day(db: Database) -> None:
    row = read_subscription(db)
    done(db, "cancel_at_period_end", row)
    done(db, "cancel", subscription_of(db))
    assert json.loads(rows_of(db, notices)[-1].facts) == {"last_day": TODAY.isoformat()}


# -- the schedule moves on -----------------------------------------------------------------------------


def moved(row_id: int, **changes: Any) -> Advance:
    row: Advance = {
        "id": row_id,
        "was_next_period": 1,
        "next_period": 2,
        "next_due_on": date(2026, 4, 1),
        "next_remind_on": date(2026, 3, 25),
        "status": "active",
    }
    return changed(row, **changes)


def test_a_schedule_that_goes_on_is_no_event(db: Database) -> None:
    row = read_subscription(db)
    with db.transaction() as tx:
        verbs.advance(tx, "run:1", LATER, [moved(row.id)])
    after = subscription_of(db)
    assert (after.status, after.next_period, after.next_due_on) == ("active", 2, date(2026, 4, 1))
    assert (after.next_remind_on, after.updated_at) == (date(2026, 3, 25), LATER)
    assert log_of(db) == []


@pytest.mark.parametrize(
    ("status", "action", "why"),
    [
        ("ended", "subscription_ended", "its last period is planned"),
        ("cancelled", "subscription_cancelled", "its last day has come"),
    ],
)
def test_a_schedule_that_is_over_says_why_and_the_others_say_nothing(
    db: Database, status: str, action: str, why: str
) -> None:
    over = read_subscription(db)
    on = a_subscription(db, "other", **BILLED)
    rows = [moved(on), moved(over.id, status=status, next_due_on=None, next_remind_on=None)]
    with db.transaction() as tx:
        verbs.advance(tx, "run:1", LATER, rows)
    assert subscription_of(db).status == status
    assert subscription_of(db, "other").status == "active"
    assert log_of(db) == [Logged("run:1", action, why, over.id)]


def test_one_schedule_that_another_worker_moved_stops_all_of_them(db: Database) -> None:
    row = read_subscription(db)
    other = a_subscription(db, "other", **BILLED | {"next_period": 2})
    rows = [moved(row.id, status="ended"), moved(other)]
    with (
        nothing_changes(db),
        pytest.raises(RuntimeError, match="moved by another worker under our lock"),
        db.transaction() as tx,
    ):
        verbs.advance(tx, "run:1", LATER, rows)
    assert rows_of(db, payments) == []
