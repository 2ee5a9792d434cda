"""What people decide: each act from the right state alone, and each in the event log."""

import asyncio
import builtins
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from billing.app import people
from billing.config import Settings
from billing.core.outcomes import CreateOutcome, PaymentRequest, RemotePayment
from billing.core.states import NoticeKind, NoticeState, PaymentState
from billing.cycle import letter, plan, remind
from billing.errors import BillingError, GatewayError, UsageError
from billing.store import notices, payments, subscriptions
from billing.store.database import Database, claim_identity
from billing.store.models import events, identity
from billing.store.models import notices as notice_table
from tests.databases import NOW, TODAY, a_payment, a_subscription, payment_values

DAY = timedelta(days=1)
SETTINGS = Settings()
ACTOR = people.actor()
STATES = [state.value for state in PaymentState]
# Tables of refusals that are the program's own: one database is enough.
only_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


@dataclass
class FakeGateway:
    """The API as far as people need it: remote payments by id, and what was asked for."""

    remotes: dict[str, RemotePayment] = field(default_factory=dict)
    broken: bool = False
    meanwhile: Callable[[], None] = lambda: None
    """Happens while the API is being asked."""
    asked: list[str] = field(default_factory=list)

    async def get(self, remote_id: str) -> RemotePayment | None:
        self._note(f"get {remote_id}")
        return self.remotes.get(remote_id)

    async def delete(self, remote_id: str) -> bool:
        self._note(f"delete {remote_id}")
        return self.remotes.pop(remote_id, None) is not None

    async def create(self, request: PaymentRequest, send_by: Any) -> CreateOutcome:
        raise AssertionError("a person's decision creates nothing")

    async def list(self, limit: int) -> builtins.list[RemotePayment]:
        self._note("list")
        return list(self.remotes.values())

    def checkout_url(self, remote_id: str) -> str:
        return f"https://pay.example.com/{remote_id}"

    def _note(self, what: str) -> None:
        self.asked.append(what)
        self.meanwhile()
        if self.broken:
            raise GatewayError("the API can't be reached")


def subscription(db: Database, reference: str = "acme") -> Any:
    with db.transaction() as tx:
        return subscriptions.find(tx, reference)


def payment(db: Database, payment_id: int) -> Any:
    with db.transaction() as tx:
        return payments.find(tx, payment_id)


def log(db: Database) -> list[tuple[str, str, str]]:
    with db.read() as connection:
        rows = connection.execute(select(events).order_by(events.c.id))
        return [(row.actor, row.action, row.detail) for row in rows]


def outbox(db: Database) -> list[Any]:
    with db.read() as connection:
        return list(connection.execute(select(notice_table).order_by(notice_table.c.id)))


def refused(act: Callable[[], Any], db: Database, error: type[BillingError] = UsageError) -> str:
    """The refusal's message; nothing may have been logged."""
    before = log(db)
    with pytest.raises(error) as raised:
        act()
    assert log(db) == before
    return str(raised.value)


def pause(db: Database, reference: str = "acme", reason: str = "asked by mail") -> None:
    people.pause(db, reference, NOW, reason)


def resume(db: Database, today: date = TODAY, reason: str = "asked by mail") -> date:
    return people.resume(db, "acme", NOW, today, SETTINGS, reason)


def cancel(db: Database, at_period_end: bool = False, today: date = TODAY) -> date:
    return people.cancel(db, "acme", NOW, today, "asked by mail", at_period_end)


def void(db: Database, payment_id: int, gateway: FakeGateway | None = None) -> None:
    asyncio.run(people.void(db, gateway, payment_id, NOW, "a mistake"))


def resolve(db: Database, gateway: FakeGateway, payment_id: int, remote_id: str | None) -> None:
    asyncio.run(people.resolve(db, gateway, payment_id, remote_id, NOW, TODAY, "seen in Mileston's pages"))


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


@only_sqlite
@pytest.mark.parametrize(
    "act",
    [
        lambda db: people.release(db, [4711], NOW, ""),
        lambda db: void(db, 4711),
        lambda db: resolve(db, FakeGateway(), 4711, None),
    ],
)
def test_a_payment_that_does_not_exist_is_refused(db: Database, act: Callable[[Database], Any]) -> None:
    assert refused(lambda: act(db), db) == "there is no payment 4711; `billing payments list` shows them"


def test_a_usage_error_ends_with_code_2() -> None:
    assert UsageError.exit_code == 2


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


def test_a_subscriber_is_told_of_every_pause(db: Database) -> None:
    a_subscription(db)
    people.pause(db, "acme", NOW, "")
    resume(db)
    people.pause(db, "acme", NOW + DAY, "")
    assert len(outbox(db)) == 2


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
        *[(ACTOR, "voided", "its subscription was cancelled")] * 3,
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
    key = notices.dedupe_key(NoticeKind.NEXT_PAYMENT_DUE, "acme", due, "d7")
    with db.transaction() as tx:
        reminder = notices.new_notice(NoticeKind.NEXT_PAYMENT_DUE, key, NOW, subscription_id=row, due_on=due)
        receipt = notices.new_notice(
            NoticeKind.PAYMENT_RECEIVED, "receipt", NOW, subscription_id=row, payment_id=paid, due_on=TODAY
        )
        assert notices.insert_notices(tx, [reminder, receipt]) == 2
    cancel(db, at_period_end=True)

    with db.transaction() as tx:
        by_kind = {found.kind: found for found in notices.queued_page(tx, NOW, (NOW - DAY, 0), 9)}
        assert subscriptions.active_page(tx, 0, 9) == []  # where new reminders would come from
    assert letter.no_longer_holds(by_kind["next_payment_due"], TODAY) == (
        "the subscription is cancelled from 2026-03-01 on"
    )
    assert letter.no_longer_holds(by_kind["payment_received"], TODAY) == ""
    told = letter.letter_for(by_kind["payment_received"], SETTINGS, TODAY, str)
    assert told.next_due_on is None
    assert remind.first_reminder_on(subscriptions.terms_of(subscription(db)).interval, None, SETTINGS) is None


# -- release ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["held", "rejected", "parked"])
def test_what_was_stopped_is_released_with_its_reason(db: Database, state: str) -> None:
    claim_identity(db, "sandbox", "biz")
    row = a_subscription(db)
    ids = [a_payment(db, row, TODAY + i * DAY, state=state, attention="look") for i in range(2)]
    assert people.release(db, ids, NOW, "checked") == ids
    for payment_id in ids:
        released = payment(db, payment_id)
        assert (released.state, released.cause, released.attention) == ("planned", "", "")
    assert log(db) == [(ACTOR, "released", "checked")] * 2


@only_sqlite
@pytest.mark.parametrize("state", sorted(set(STATES) - {"held", "rejected", "parked"}))
def test_nothing_else_is_released_and_the_others_of_the_call_neither(db: Database, state: str) -> None:
    row = a_subscription(db)
    held = a_payment(db, row, state="held")
    other = a_payment(db, row, TODAY + DAY, state=state)
    said = refused(lambda: people.release(db, [held, other], NOW, ""), db)
    assert said == f"payment {other} is {state}; only held, rejected and parked ones can be released"
    assert payment(db, held).state == "held"


@pytest.mark.parametrize("stopped", ["held", "rejected", "parked"])
@pytest.mark.parametrize(("due_on", "state"), [(TODAY, "unknown"), (TODAY + DAY, "planned")])
def test_after_a_restore_what_was_stopped_is_looked_for_before_it_is_sent(
    db: Database, due_on: date, state: str, stopped: str
) -> None:
    claim_identity(db, "sandbox", "biz")
    with db.transaction() as tx:
        tx.execute(update(identity).values(restored_on=TODAY))
    held = a_payment(db, a_subscription(db), due_on, state=stopped, absent_looks=1, absent_at=NOW)
    people.release(db, [held], NOW, "")
    assert (payment(db, held).state, payment(db, held).absent_looks) == (
        state,
        0 if state == "unknown" else 1,
    )


# -- void ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["planned", "held", "rejected", "parked"])
def test_what_is_not_open_is_voided_without_asking_the_api(db: Database, state: str) -> None:
    payment_id = a_payment(db, a_subscription(db), state=state, attention="look", next_dun_on=TODAY)
    gateway = FakeGateway(broken=True)
    void(db, payment_id, gateway)
    row = payment(db, payment_id)
    assert (row.state, row.cause, row.attention, row.next_dun_on) == ("void", "a mistake", "", None)
    assert log(db) == [(ACTOR, "voided", "a mistake")]
    assert gateway.asked == []


def test_an_open_payment_is_deleted_at_mileston_before_it_is_void(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    gateway = FakeGateway({"r1": remote("r1")})
    void(db, payment_id, gateway)
    assert gateway.asked == ["get r1", "list", "delete r1"]
    assert gateway.remotes == {}
    assert payment(db, payment_id).state == "void"


def test_the_doubles_of_a_voided_payment_are_deleted_with_it(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    gateway = FakeGateway(
        {"r1": remote("r1"), "r2": remote("r2"), "other": remote("other", marker="RB-OTHER")}
    )
    void(db, payment_id, gateway)
    assert list(gateway.remotes) == ["other"]


def test_a_payment_whose_double_was_paid_is_not_voided(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    gateway = FakeGateway({"r1": remote("r1"), "r2": remote("r2", paid=True)})
    said = refused(lambda: void(db, payment_id, gateway), db)
    assert said == f"payment {payment_id} was paid meanwhile; the next cycle books it"
    assert list(gateway.remotes) == ["r1", "r2"]


def test_an_open_payment_that_mileston_does_not_know_any_more_is_void(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    void(db, payment_id, FakeGateway())
    assert payment(db, payment_id).state == "void"


def test_a_payment_that_was_paid_meanwhile_is_not_voided(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    gateway = FakeGateway({"r1": remote("r1", paid=True)})
    said = refused(lambda: void(db, payment_id, gateway), db)
    assert said == f"payment {payment_id} was paid meanwhile; the next cycle books it"
    assert (gateway.asked, payment(db, payment_id).state) == (["get r1", "list"], "open")


def test_an_open_payment_that_cannot_be_deleted_stays_open(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    refused(lambda: void(db, payment_id, FakeGateway(broken=True)), db, GatewayError)
    assert payment(db, payment_id).state == "open"


@only_sqlite
@pytest.mark.parametrize("state", ["sending", "unknown", "paid", "uncollectible", "void"])
def test_what_is_under_way_lost_or_settled_is_not_voided(db: Database, state: str) -> None:
    payment_id = a_payment(db, a_subscription(db), state=state)
    gateway = FakeGateway()
    said = refused(lambda: void(db, payment_id, gateway), db)
    assert said == f"payment {payment_id} is {state}; it can't be voided"
    assert gateway.asked == []


def move(db: Database, payment_id: int, old: str, new: str) -> None:
    with db.transaction() as tx:
        payments.move(
            tx, [payment_id], PaymentState(old), PaymentState(new), NOW, paid_at=NOW, cause="meanwhile"
        )


def test_a_payment_that_is_booked_as_paid_while_it_is_voided_stays_paid(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    gateway = FakeGateway(meanwhile=lambda: move(db, payment_id, "open", "paid"))
    said = refused(lambda: void(db, payment_id, gateway), db)
    assert said == f"payment {payment_id} changed meanwhile; look at it again"
    assert payment(db, payment_id).state == "paid"


# -- resolve ------------------------------------------------------------------------------------------


def remote(remote_id: str, **changes: Any) -> RemotePayment:
    usual = RemotePayment(
        remote_id, payment_values(0)["marker"], 19_900_000, "zoe.quillfeather@example.org", paid=False
    )
    return replace(usual, **changes)


@pytest.mark.parametrize("state", ["unknown", "parked"])
def test_a_person_finds_what_was_lost(db: Database, state: str) -> None:
    payment_id = a_payment(db, a_subscription(db), state=state, attention="another amount")
    resolve(db, FakeGateway({"r1": remote("r1")}), payment_id, "r1")
    row = payment(db, payment_id)
    assert (row.state, row.remote_id, row.cause) == ("open", "r1", "")
    assert row.attention == ""  # the person has looked
    assert (ACTOR, "resolved", "seen in Mileston's pages") in log(db)
    assert [notice.kind for notice in outbox(db)] == ["payment_created"]


@pytest.mark.parametrize("state", ["unknown", "parked"])
def test_a_person_vouches_that_it_does_not_exist(db: Database, state: str) -> None:
    payment_id = a_payment(db, a_subscription(db), state=state, attention="look", cause="lost")
    gateway = FakeGateway(broken=True)
    resolve(db, gateway, payment_id, None)
    row = payment(db, payment_id)
    assert (row.state, row.cause, row.attention) == ("planned", "", "")
    assert log(db) == [(ACTOR, "resolved", "seen in Mileston's pages")]
    assert (gateway.asked, outbox(db)) == ([], [])


@only_sqlite
@pytest.mark.parametrize(
    ("changes", "field_"),
    [
        ({"marker": None}, "subscriptionName"),
        ({"marker": "RB-ZZZZZZZZZZZZZZZZ"}, "subscriptionName"),
        ({"amount_micros": 1}, "amount"),
        ({"amount_micros": None}, "amount"),
    ],
)
def test_another_payments_remote_payment_is_refused(
    db: Database, changes: dict[str, Any], field_: str
) -> None:
    payment_id = a_payment(db, a_subscription(db), state="unknown")
    gateway = FakeGateway({"r1": remote("r1", **changes)})
    said = refused(lambda: resolve(db, gateway, payment_id, "r1"), db)
    assert said == f"the recurring payment r1 is another's: its {field_} differs"
    assert payment(db, payment_id).state == "unknown"


def test_a_person_vouches_for_an_address_that_was_changed_since(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="parked")
    resolve(db, FakeGateway({"r1": remote("r1", email="old.address@example.org")}), payment_id, "r1")
    assert payment(db, payment_id).state == "open"


def test_a_remote_payment_that_does_not_exist_is_refused(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="parked")
    said = refused(lambda: resolve(db, FakeGateway(), payment_id, "r1"), db)
    assert said == "Mileston has no recurring payment r1"


@only_sqlite
@pytest.mark.parametrize("state", sorted(set(STATES) - {"unknown", "parked"}))
@pytest.mark.parametrize("remote_id", ["r1", None])
def test_only_what_is_lost_is_resolved(db: Database, state: str, remote_id: str | None) -> None:
    payment_id = a_payment(db, a_subscription(db), state=state)
    gateway = FakeGateway({"r1": remote("r1")})
    said = refused(lambda: resolve(db, gateway, payment_id, remote_id), db)
    assert said == f"payment {payment_id} is {state}; only unknown and parked ones are resolved"
    assert gateway.asked == []


def test_what_a_cycle_found_while_the_person_decided_stays_as_the_cycle_left_it(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="unknown")
    gateway = FakeGateway({"r1": remote("r1")}, meanwhile=lambda: move(db, payment_id, "unknown", "parked"))
    said = refused(lambda: resolve(db, gateway, payment_id, "r1"), db)
    assert said == f"payment {payment_id} changed meanwhile; look at it again"
    assert payment(db, payment_id).state == "parked"


def test_an_api_that_cannot_be_asked_resolves_nothing(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="unknown")
    refused(lambda: resolve(db, FakeGateway(broken=True), payment_id, "r1"), db, GatewayError)
    assert payment(db, payment_id).state == "unknown"


# -- notices ------------------------------------------------------------------------------------------


def a_notice(db: Database, state: str, key: str = "key") -> int:
    with db.transaction() as tx:
        values = {"state": state, "message_id": "<1@example.org>", "lease_until": NOW, "tries": 3}
        row = notices.new_notice(NoticeKind.PAYMENT_CREATED, key, NOW) | values
        assert notices.insert_notices(tx, [row]) == 1
        return max(found.id for found in notices.listing(tx))


@pytest.mark.parametrize("state", ["sent", "failed", "unknown"])
def test_a_notice_is_sent_again_with_its_message_id(db: Database, state: str) -> None:
    notice_id = a_notice(db, state)
    people.resend_notice(db, notice_id, NOW + DAY)
    (row,) = outbox(db)
    assert (row.state, row.next_try_at, row.tries) == ("queued", NOW + DAY, 0)
    assert row.message_id == "<1@example.org>"
    assert log(db) == [(ACTOR, "notice_resent", f"it was {state}")]


@only_sqlite
@pytest.mark.parametrize(
    "state", sorted(set(NoticeState) - {NoticeState.SENT, NoticeState.FAILED, NoticeState.UNKNOWN})
)
def test_no_other_notice_is_sent_again(db: Database, state: str) -> None:
    notice_id = a_notice(db, state)
    said = refused(lambda: people.resend_notice(db, notice_id, NOW), db)
    assert said == f"notice {notice_id} is {state}; only sent, failed and unknown ones are resent"
    assert outbox(db)[0].state == state


def test_a_notice_that_does_not_exist_is_refused(db: Database) -> None:
    said = refused(lambda: people.resend_notice(db, 4711, NOW), db)
    assert said == "there is no notice 4711; `billing notices list` shows them"


def test_all_failed_notices_are_sent_again_and_no_others(db: Database) -> None:
    failed = [a_notice(db, "failed", f"f{n}") for n in range(3)]
    others = [a_notice(db, state, state) for state in ("unknown", "sent", "superseded")]
    assert people.resend_notices(db, NoticeState.FAILED, NOW) == 3
    states = {row.id: row.state for row in outbox(db)}
    assert [states[n] for n in failed] == ["queued"] * 3
    assert [states[n] for n in others] == ["unknown", "sent", "superseded"]
    assert log(db) == [(ACTOR, "notice_resent", "it was failed")] * 3
    said = refused(lambda: people.resend_notices(db, NoticeState.SENT, NOW), db)
    assert said == "all sent notices can't be resent at once, only all failed or all unknown ones"


def test_who_acts_is_a_person_with_a_name() -> None:
    kind, _, name = ACTOR.partition(":")
    assert kind == "person"
    assert name
