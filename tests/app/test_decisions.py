"""What people decide about payments: each act from the right state alone, each in the event log."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from billing.app import decisions
from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.core.states import PaymentState
from billing.errors import GatewayError
from billing.lifecycle.moves import move as change_state
from billing.store import remote_checks
from billing.store.connection import Database
from billing.store.identity import claim_identity
from billing.store.models import identity
from tests.support.databases import NOW, TODAY, a_payment, a_subscription, payment_values
from tests.support.decisions import (
    ACTOR,
    DAY,
    QUIET,
    STATES,
    log,
    only_sqlite,
    outbox,
    payment,
    refused,
    resolve,
    void,
)
from tests.support.fake_gateway import FakeGateway


@only_sqlite
@pytest.mark.parametrize(
    "act",
    [
        lambda db: decisions.release(db, [4711], NOW, ""),
        lambda db: void(db, 4711),
        lambda db: resolve(db, FakeGateway(), 4711, None),
    ],
)
def test_a_payment_that_does_not_exist_is_refused(db: Database, act: Callable[[Database], Any]) -> None:
    assert refused(lambda: act(db), db) == "there is no payment 4711; `billing payments list` shows them"


# -- release ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["held", "rejected", "parked"])
def test_what_was_stopped_is_released_with_its_reason(db: Database, state: str) -> None:
    claim_identity(db, "sandbox", "biz")
    row = a_subscription(db)
    ids = [a_payment(db, row, TODAY + i * DAY, state=state, attention="look") for i in range(2)]
    assert [row.id for row in decisions.release(db, ids, NOW, "checked")] == ids
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
    said = refused(lambda: decisions.release(db, [held, other], NOW, ""), db)
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
    decisions.release(db, [held], NOW, "")
    assert (payment(db, held).state, payment(db, held).absent_looks) == (
        state,
        0 if state == "unknown" else 1,
    )


def test_what_was_proved_absent_since_the_restore_is_not_looked_for_again(db: Database) -> None:
    claim_identity(db, "sandbox", "biz")
    with db.transaction() as tx:
        tx.execute(update(identity).values(restored_on=TODAY))
    held = a_payment(db, a_subscription(db), state="held", absent_looks=2, absent_at=NOW)
    decisions.release(db, [held], NOW, "")
    assert payment(db, held).state == "planned"


@pytest.mark.parametrize("released", [True, False])
def test_a_record_that_a_person_ruled_out_says_nothing_of_the_next_create(
    db: Database, released: bool
) -> None:
    claim_identity(db, "sandbox", "biz")
    payment_id = a_payment(db, a_subscription(db), state="parked", remote_id="another-amount")
    if released:
        decisions.release(db, [payment_id], NOW, "it was deleted there")
    else:
        resolve(db, FakeGateway(), payment_id, None)
    assert (payment(db, payment_id).state, payment(db, payment_id).remote_id) == ("planned", None)


# -- void ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["planned", "held", "rejected", "parked"])
def test_what_is_not_open_is_voided_without_asking_the_api(db: Database, state: str) -> None:
    payment_id = a_payment(db, a_subscription(db), state=state, attention="look", next_dun_on=TODAY)
    gateway = FakeGateway(broken=True)
    void(db, payment_id, gateway)
    row = payment(db, payment_id)
    assert (row.state, row.cause, row.attention, row.next_dun_on) == ("void", "a mistake", "", None)
    assert log(db) == [(ACTOR, "void", "a mistake")]
    assert gateway.asked == []


def test_an_open_payment_is_deleted_at_mileston_before_it_is_void(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    gateway = FakeGateway.showing(remote("r1"))
    void(db, payment_id, gateway)
    # It is looked at right before, and looked for right after.
    assert gateway.asked == ["list", "get r1", "get r1", "delete r1", "get r1"]
    assert gateway.live == []
    assert payment(db, payment_id).state == "void"


@pytest.mark.parametrize(("age", "looked_for"), [(QUIET - 1, True), (QUIET, False)])
def test_a_double_that_may_come_to_light_after_the_voiding_is_looked_for_once(
    db: Database, age: int, looked_for: bool
) -> None:
    made = NOW - timedelta(seconds=age)
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1", remote_by_at=made)
    void(db, payment_id, FakeGateway.showing(remote("r1")))

    later = made + timedelta(seconds=QUIET)
    with db.transaction() as tx:
        assert not remote_checks.look_is_due(tx, later - timedelta(seconds=1))
        assert remote_checks.look_is_due(tx, later) == looked_for
        remote_checks.void_was_looked_for(tx, later)
        assert not remote_checks.look_is_due(tx, later)


def test_the_doubles_of_a_voided_payment_are_deleted_with_it(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    gateway = FakeGateway.showing(remote("r1"), remote("r2"), remote("other", marker="RB-OTHER"))
    void(db, payment_id, gateway)
    assert [shown.remote_id for shown in gateway.live] == ["other"]


def test_a_payment_whose_double_was_paid_is_not_voided(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    gateway = FakeGateway.showing(remote("r1"), remote("r2", status=RemoteStatus.PAID))
    said = refused(lambda: void(db, payment_id, gateway), db)
    assert said == f"payment {payment_id} was paid meanwhile; the next cycle books it"
    assert [shown.remote_id for shown in gateway.live] == ["r1", "r2"]


def test_a_payment_of_which_a_double_was_paid_in_part_is_not_voided(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    in_part = replace(remote("r2", status=RemoteStatus.PAID), amount_micros=1_000_000)
    gateway = FakeGateway.showing(remote("r1"), in_part)
    said = refused(lambda: void(db, payment_id, gateway), db)
    assert said.startswith(f"the record r2 at Mileston bears the number of payment {payment_id} and is paid")
    assert [shown.remote_id for shown in gateway.live] == ["r1", "r2"]


def test_a_stranger_with_our_number_does_not_keep_a_payment_from_being_voided(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    stranger = replace(remote("r2", status=RemoteStatus.PAID), email="somebody@example.net")
    gateway = FakeGateway.showing(remote("r1"), stranger)
    void(db, payment_id, gateway)
    assert [shown.remote_id for shown in gateway.live] == ["r2"]


def test_an_open_payment_that_mileston_does_not_know_any_more_is_void(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    void(db, payment_id, FakeGateway())
    assert payment(db, payment_id).state == "void"


@pytest.mark.parametrize(("age", "state"), [(QUIET - 1, "open"), (QUIET, "void")])
def test_a_record_that_may_not_be_shown_yet_is_waited_for(db: Database, age: int, state: str) -> None:
    made = NOW - timedelta(seconds=age)
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1", remote_by_at=made)
    if state == "open":
        said = refused(lambda: void(db, payment_id, FakeGateway()), db)
        assert said.endswith("and it would live on: try again in a few minutes")
    else:
        void(db, payment_id, FakeGateway())
    assert payment(db, payment_id).state == state


def test_a_payment_that_was_paid_meanwhile_is_not_voided(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    gateway = FakeGateway.showing(remote("r1", status=RemoteStatus.PAID))
    said = refused(lambda: void(db, payment_id, gateway), db)
    assert said == f"payment {payment_id} was paid meanwhile; the next cycle books it"
    assert (gateway.asked, payment(db, payment_id).state) == (["list", "get r1"], "open")


@pytest.mark.parametrize("looks", range(1, 5))
def test_what_is_paid_between_two_looks_is_not_deleted(db: Database, looks: int) -> None:
    """The payer may pay at any moment before the delete itself."""
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    gateway = FakeGateway.showing(remote("r1"), remote("r2"))

    def paid_after_some_looks() -> None:
        if len(gateway.asked) == looks:
            gateway.pay("r1")

    gateway.meanwhile = paid_after_some_looks
    refused(lambda: void(db, payment_id, gateway), db)
    assert "r1" in [shown.remote_id for shown in gateway.live]


def test_a_single_404_is_not_believed_against_the_list(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    gateway = FakeGateway.showing(remote("r1"))

    async def nothing(remote_id: str) -> RemotePayment | None:
        return None

    gateway.get = nothing  # type: ignore[method-assign]
    said = refused(lambda: void(db, payment_id, gateway), db)
    assert "says that there is none: try again later" in said
    assert gateway.deleted == []


def test_a_record_that_the_list_calls_by_another_spelling_is_no_double(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="open", remote_id="r1")
    gateway = FakeGateway.showing(remote("r1"), remote("R1"))
    void(db, payment_id, gateway)
    assert gateway.deleted == ["r1"]


def test_a_rejected_payment_is_not_released_into_days_that_another_charges(db: Database) -> None:
    """Its terms were changed since, and a rejected one does not count as charged."""
    subscription = a_subscription(db)
    rejected = a_payment(db, subscription, TODAY, state="rejected")
    other = a_payment(db, subscription, TODAY + 9 * DAY, state="open", remote_id="r1")
    said = refused(lambda: decisions.release(db, [rejected], NOW, ""), db)
    assert f"payment {other} charges" in said
    assert said.endswith(f"void payment {rejected}")


def test_a_flag_that_a_person_has_seen_to_is_dismissed(db: Database) -> None:
    flagged = a_payment(db, a_subscription(db), state="open", remote_id="r1", attention="paid twice")
    decisions.dismiss(db, flagged, NOW, "paid back")
    assert payment(db, flagged).attention == ""
    assert log(db) == [(ACTOR, "dismissed", "paid twice; paid back")]
    said = refused(lambda: decisions.dismiss(db, flagged, NOW, ""), db)
    assert said.startswith(f"payment {flagged} is not flagged")


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
        change_state(
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
        remote_id,
        payment_values(0)["marker"],
        19_900_000,
        "zoe.quillfeather@example.org",
        RemoteStatus.UNPAID,
    )
    return replace(usual, **changes)


@pytest.mark.parametrize("state", ["unknown", "parked"])
def test_a_person_finds_what_was_lost(db: Database, state: str) -> None:
    payment_id = a_payment(db, a_subscription(db), state=state, attention="another amount")
    resolve(db, FakeGateway.showing(remote("r1")), payment_id, "r1")
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
    gateway = FakeGateway.showing(remote("r1", **changes))
    said = refused(lambda: resolve(db, gateway, payment_id, "r1"), db)
    assert said.startswith(f"the recurring payment r1 may be another's: its {field_} differs; ")
    assert said.endswith("say --despite-mismatch with a --reason")
    assert payment(db, payment_id).state == "unknown"


def test_a_person_vouches_for_an_address_that_was_changed_since(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="parked")
    resolve(db, FakeGateway.showing(remote("r1", email="old.address@example.org")), payment_id, "r1")
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
    gateway = FakeGateway.showing(remote("r1"))
    said = refused(lambda: resolve(db, gateway, payment_id, remote_id), db)
    assert said == f"payment {payment_id} is {state}; only unknown and parked ones are resolved"
    assert gateway.asked == []


def test_what_a_cycle_found_while_the_person_decided_stays_as_the_cycle_left_it(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="unknown")
    gateway = FakeGateway.showing(remote("r1"), meanwhile=lambda: move(db, payment_id, "unknown", "parked"))
    said = refused(lambda: resolve(db, gateway, payment_id, "r1"), db)
    assert said == f"payment {payment_id} changed meanwhile; look at it again"
    assert payment(db, payment_id).state == "parked"


def test_an_api_that_cannot_be_asked_resolves_nothing(db: Database) -> None:
    payment_id = a_payment(db, a_subscription(db), state="unknown")
    refused(lambda: resolve(db, FakeGateway(broken=True), payment_id, "r1"), db, GatewayError)
    assert payment(db, payment_id).state == "unknown"
