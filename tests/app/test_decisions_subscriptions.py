"""What people decide about subscriptions: each act from the right state alone, each in the event log."""

import json
from datetime import date
from typing import Any

import pytest

from billing.app import decisions
from billing.core.reminders import first_reminder_on
from billing.core.states import NoticeKind
from billing.cycle import notice_facts, plan
from billing.errors import UsageError
from billing.lifecycle import notices as verbs
from billing.store import notices, subscriptions
from billing.store.connection import Database
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.decisions import (
    ACTOR,
    DAY,
    SETTINGS,
    STATES,
    cancel,
    log,
    only_sqlite,
    outbox,
    pause,
    payment,
    refused,
    resume,
    subscription,
)

# -- naming things ------------------------------------------------------------------------------------


def test_a_reference_that_does_not_exist_is_answered_with_the_nearest(db: Database) -> None:
    for reference in ("acme-team", "acme-tram", "acne", "zebra"):
        a_subscription(db, reference)
    said = refused(lambda: pause(db, "acme-tean"), db)
    assert said.startswith(
        "there is no subscription with the reference 'acme-tean'; the nearest are: acme-team"
    )
    assert "acme-tram" in said
    assert "zebra" not in said


def test_a_reference_like_none_is_told_so(db: Database) -> None:
    a_subscription(db)
    assert refused(lambda: pause(db, "zzz"), db).endswith("'zzz'; there are none like it")


def test_a_usage_error_ends_with_code_2() -> None:
    assert UsageError.exit_code == 2


def test_who_acts_is_a_person_with_a_name() -> None:
    kind, _, name = ACTOR.partition(":")
    assert kind == "person"
    assert name


# -- pause and resume ---------------------------------------------------------------------------------


def test_a_pause_stops_planning_and_says_so(db: Database) -> None:
    a_subscription(db)
    pause(db)
    row = subscription(db)
    assert (row.status, row.next_due_on, row.updated_at) == ("paused", TODAY, NOW)
    assert log(db) == [(ACTOR, "subscription_paused", "asked by mail")]
    (notice,) = outbox(db)
    assert (notice.kind, notice.state, notice.subscription_id) == ("subscription_paused", "queued", row.id)
    with db.transaction() as tx:
        assert subscriptions.due_page(tx, TODAY + 99 * DAY, 9) == []


@only_sqlite
@pytest.mark.parametrize("status", ["paused", "cancelled", "ended"])
def test_only_an_active_subscription_is_paused(db: Database, status: str) -> None:
    a_subscription(db, status=status)
    assert refused(lambda: pause(db), db) == f"acme is {status}; it would have to be active"
    assert outbox(db) == []


def test_a_subscriber_is_told_of_every_pause_and_of_its_end(db: Database) -> None:
    a_subscription(db)
    decisions.pause(db, "acme", NOW, "")
    resume(db)
    decisions.pause(db, "acme", NOW + DAY, "")
    kinds = [notice.kind for notice in outbox(db)]
    assert kinds == ["subscription_paused", "subscription_resumed", "subscription_paused"]


@pytest.mark.parametrize(
    ("today", "due_on", "period"),
    [
        ("2026-02-01", "2026-02-01", 0),
        ("2026-02-02", "2026-03-01", 1),
        ("2026-06-15", "2026-07-01", 5),
        ("2026-07-01", "2026-07-01", 5),
    ],
)
def test_after_a_pause_billing_goes_on_along_the_anchor_and_the_pause_is_not_billed(
    db: Database, today: str, due_on: str, period: int
) -> None:
    a_subscription(db, status="paused")
    assert resume(db, date.fromisoformat(today)) == date.fromisoformat(due_on)
    row = subscription(db)
    assert (row.status, row.next_period, str(row.next_due_on)) == ("active", period, due_on)
    assert row.next_remind_on == row.next_due_on - 7 * DAY
    assert log(db) == [(ACTOR, "subscription_resumed", f"asked by mail; next due {due_on}")]


def test_a_pause_that_ends_before_the_next_due_date_changes_nothing(db: Database) -> None:
    a_subscription(db, status="paused", next_period=3, next_due_on=date(2026, 5, 1))
    assert resume(db, TODAY, reason="") == date(2026, 5, 1)
    assert subscription(db).next_period == 3
    assert log(db)[0][2] == "next due 2026-05-01"


@only_sqlite
@pytest.mark.parametrize("status", ["active", "cancelled", "ended"])
def test_only_a_paused_subscription_is_resumed(db: Database, status: str) -> None:
    a_subscription(db, status=status)
    assert refused(lambda: resume(db), db) == f"acme is {status}; it would have to be paused"


@pytest.mark.parametrize("end", [{"ends_on": TODAY + 9 * DAY}, {"cancel_on": TODAY + 9 * DAY}])
def test_what_has_no_period_left_is_not_resumed(db: Database, end: dict[str, Any]) -> None:
    a_subscription(db, status="paused", **end)
    said = refused(lambda: resume(db, TODAY + DAY), db)
    assert said == "acme can't be resumed: no period is left before it ends"
    assert subscription(db).status == "paused"


# -- cancel -------------------------------------------------------------------------------------------


def test_cancelling_now_voids_what_is_not_yet_at_mileston(db: Database) -> None:
    row = a_subscription(db, next_due_on=TODAY + 9 * DAY, next_remind_on=TODAY + DAY)
    other = a_subscription(db, "other")
    ids = {state: a_payment(db, row, TODAY - i * DAY, state=state) for i, state in enumerate(STATES)}
    theirs = a_payment(db, other, reference="other")

    assert cancel(db) == TODAY
    after = subscription(db)
    assert (after.status, after.cancel_on) == ("cancelled", TODAY)
    assert (after.next_due_on, after.next_remind_on) == (None, None)
    unsent = {"planned", "held", "rejected"}
    for state, payment_id in ids.items():
        assert payment(db, payment_id).state == ("void" if state in unsent else state)
    assert payment(db, ids["held"]).cause == "its subscription was cancelled"
    assert payment(db, theirs).state == "planned"
    assert sorted(log(db)) == [
        (ACTOR, "subscription_cancelled", "asked by mail; last day 2026-02-01"),
        *[(ACTOR, "void", "its subscription was cancelled")] * 3,
    ]
    (notice,) = outbox(db)
    assert (notice.kind, json.loads(notice.facts)) == ("subscription_cancelled", {"last_day": "2026-02-01"})


def test_a_paused_subscription_is_cancelled_too(db: Database) -> None:
    a_subscription(db, status="paused")
    assert cancel(db, at_period_end=True) == TODAY
    assert subscription(db).status == "cancelled"


@only_sqlite
@pytest.mark.parametrize("status", ["cancelled", "ended"])
@pytest.mark.parametrize("at_period_end", [False, True])
def test_what_is_over_is_not_cancelled(db: Database, status: str, at_period_end: bool) -> None:
    a_subscription(db, status=status)
    said = refused(lambda: cancel(db, at_period_end), db)
    assert said == f"acme is {status}; it would have to be active or paused"


def test_cancelling_at_the_periods_end_lets_what_is_paid_for_run_out(db: Database) -> None:
    due = date(2026, 3, 1)
    row = a_subscription(db, next_period=1, next_due_on=due, next_remind_on=due - DAY)
    planned = a_payment(db, row)
    assert cancel(db, at_period_end=True) == date(2026, 2, 28)
    after = subscription(db)
    assert (after.status, after.cancel_on, after.next_remind_on) == ("active", due, None)
    assert payment(db, planned).state == "planned"  # the period that runs is still charged
    assert json.loads(outbox(db)[0].facts) == {"last_day": "2026-02-28"}

    with db.transaction() as tx:
        (found,) = subscriptions.due_page(tx, due, 9)
    decision = plan.decide(found, SETTINGS, due)
    assert (decision.plan.periods, decision.plan.next_due_on, decision.status) == ((), None, "cancelled")


def test_cancelling_twice_at_the_periods_end_is_refused_and_now_is_possible(db: Database) -> None:
    a_subscription(db, next_period=1, next_due_on=date(2026, 3, 1))
    cancel(db, at_period_end=True)
    said = refused(lambda: cancel(db, at_period_end=True), db)
    assert said == "acme is cancelled already, from 2026-03-01 on"
    assert cancel(db) == TODAY
    assert subscription(db).status == "cancelled"


def test_a_subscriber_who_cancelled_is_not_told_of_a_next_payment(db: Database) -> None:
    due = date(2026, 3, 1)
    row = a_subscription(db, next_period=1, next_due_on=due)
    paid = a_payment(db, row, state="paid")
    key = verbs.dedupe_key(NoticeKind.NEXT_PAYMENT_DUE, "acme", due, "d7")
    with db.transaction() as tx:
        reminder = verbs.new_notice(NoticeKind.NEXT_PAYMENT_DUE, key, NOW, subscription_id=row, due_on=due)
        receipt = verbs.new_notice(
            NoticeKind.PAYMENT_RECEIVED, "receipt", NOW, subscription_id=row, payment_id=paid, due_on=TODAY
        )
        assert verbs.queue(tx, [reminder, receipt]) == 2
    cancel(db, at_period_end=True)

    with db.transaction() as tx:
        by_kind = {found.kind: found for found in notices.queued_page(tx, NOW, (NOW - DAY, 0), 9)}
        assert subscriptions.active_page(tx, 0, 9) == []  # where new reminders would come from
    assert notice_facts.no_longer_holds(by_kind["next_payment_due"], TODAY) == (
        "the subscription is cancelled from 2026-03-01 on"
    )
    assert notice_facts.no_longer_holds(by_kind["payment_received"], TODAY) == ""
    told = notice_facts.facts_for(by_kind["payment_received"], SETTINGS, TODAY, str)
    assert told.next_due_on is None
    assert (
        first_reminder_on(subscriptions.terms_of(subscription(db)).interval, None, SETTINGS.reminders) is None
    )
