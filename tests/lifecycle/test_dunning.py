"""What dunning gives up, waits for, and lets go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from billing.config import Settings
from billing.core.reasons import HELD_BACK
from billing.lifecycle import dunning, pauses
from billing.store.connection import Database
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.written import Logged, log_of, outbox_of, payment_of, subscription_of

DAY = timedelta(days=1)
LATER = NOW + timedelta(hours=1)
ACTOR = "run:run-1"
REMINDERS = Settings().reminders


def a_row(db: Database, state: str = "open", **changes: Any) -> Any:
    return payment_of(db, a_payment(db, a_subscription(db), state=state, remote_id="r", **changes))


def test_what_is_given_up_is_not_dunned_any_more(db: Database) -> None:
    row = a_row(db, next_dun_on=TODAY)
    with db.transaction() as tx:
        assert dunning.mark_uncollectible(tx, ACTOR, LATER, row, 1)
        assert not dunning.mark_uncollectible(tx, ACTOR, LATER, row, 1)
    assert payment_of(db, row.id).next_dun_on is None
    assert log_of(db) == [Logged(ACTOR, "uncollectible", "unpaid for 1 day", row.subscription_id, row.id)]


@pytest.mark.parametrize(
    ("status", "paused_by", "states", "ends"),
    [
        ("paused", "dunning", ("paid", "paid"), True),
        ("paused", "dunning", ("paid", "uncollectible"), False),
        ("paused", "", ("paid", "paid"), False),
        ("cancelled", "", ("paid", "paid"), False),
    ],
)
def test_a_pause_ends_when_all_that_led_to_it_is_paid(
    db: Database, status: str, paused_by: str, states: tuple[str, ...], ends: bool
) -> None:
    subscription = a_subscription(db, status=status, paused_by=paused_by)
    for n, state in enumerate(states):
        a_payment(
            db, subscription, TODAY + n * DAY, state=state, remote_id=f"r{n}", paid_at=NOW, led_to_pause=1
        )
    a_payment(db, subscription, TODAY + 5 * DAY, state="uncollectible", remote_id="r5")  # of an earlier time
    with db.transaction() as tx:
        found = pauses.end_paid_pauses(tx, ACTOR, LATER, TODAY, [subscription], REMINDERS)
    assert bool(found) is ends
    assert subscription_of(db).status == ("active" if ends else status)
    assert len(outbox_of(db)) == ends


def test_where_no_period_is_left_it_has_ended(db: Database) -> None:
    subscription = a_subscription(db, status="paused", paused_by="dunning", ends_on=TODAY)
    a_payment(db, subscription, state="paid", remote_id="r", paid_at=NOW, led_to_pause=1)
    with db.transaction() as tx:
        found = pauses.end_paid_pauses(tx, ACTOR, LATER, TODAY + DAY, [subscription], REMINDERS)
    assert [(each.next_due_on, each.notices_queued) for each in found] == [(None, 0)]
    assert (subscription_of(db).status, subscription_of(db).paused_by) == ("ended", "")


def test_what_was_held_back_goes_on_if_it_covers_the_day_and_is_void_if_it_is_over(db: Database) -> None:
    subscription = a_subscription(db, status="paused", paused_by="dunning")
    over, covering, others = (
        a_payment(
            db,
            subscription,
            TODAY + n * DAY,
            state="held",
            cause=cause,
            period_end_on=TODAY + (n + 9) * DAY,
        )
        for n, cause in ((-30, HELD_BACK), (-5, HELD_BACK), (-4, "catch-up: too many"))
    )
    row = subscription_of(db)
    with db.transaction() as tx:
        done = pauses.resume(tx, ACTOR, LATER, TODAY, row, REMINDERS, "paid")
    assert done.released == 1
    states = [payment_of(db, each).state for each in (over, covering, others)]
    assert states == ["void", "planned", "held"]


def test_what_was_held_back_for_a_final_action_that_never_came_is_found(db: Database) -> None:
    subscription = a_subscription(db)
    a_payment(db, subscription, TODAY - 9 * DAY, state="open", remote_id="r", next_dun_on=TODAY + DAY)
    held = a_payment(db, subscription, state="held", cause=HELD_BACK)
    with db.transaction() as tx:
        assert [row.id for row in dunning.held_for_nothing(tx, TODAY)] == [held]
        assert dunning.held_for_nothing(tx, TODAY + DAY) == []
