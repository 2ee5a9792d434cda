"""Records without a payment number that may be ours, and doubles that outlive what was paid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from billing.core.states import PaymentState
from billing.cycle.observe import observe
from billing.cycle.reconcile import reconcile
from billing.cycle.settle import settle
from tests.support.fake_gateway import FakeGateway
from tests.support.rig import LOOKING, Rig


def nameless(gateway: FakeGateway) -> None:
    """The API keeps no whole names."""
    for made in gateway.made:
        made.remote = replace(made.remote, marker=None)


def test_a_database_that_forgot_what_it_sent_to_an_api_without_names_sends_nothing_twice(
    tmp_path: Path,
) -> None:
    first = Rig(tmp_path / "first")
    first.subscribe("acme")
    first.cycle()
    nameless(first.api)
    again = Rig(tmp_path / "again")  # all that the first one knew is lost
    again.api, again.clock = first.api, first.clock
    again.subscribe("acme")

    again.cycle()
    again.clock.to(600)
    again.cycle(LOOKING)

    assert len(first.api.creates) == 1
    assert again.payment().state == PaymentState.PARKED
    assert "decide whether it is this payment" in again.payment().cause


def test_a_record_of_the_same_person_for_another_amount_or_day_stops_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "home")
    rig.subscribe("acme")
    rig.cycle()
    nameless(rig.api)
    rig.subscribe("other", email="acme@example.com", amount_micros=7_000_000)
    assert rig.cycle().created == 1


def test_a_double_that_outlives_what_was_paid_is_told_and_not_deleted(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "home")
    rig.subscribe("acme")
    rig.cycle()
    rig.api.pay(rig.payment().remote_id)
    rig.clock.to(600)
    rig.cycle((observe, settle))
    request, _ = rig.api.creates[0]
    double = rig.api.add(request)
    rig.api.made[0].deleted = True  # by hand, at Mileston
    rig.subscribe("other")
    rig.clock.to(1200)

    rig.cycle((observe, reconcile))

    row = rig.payment()
    assert row.state == PaymentState.PAID
    assert f"a duplicate, {double}, still is: delete that there" in row.attention
    assert rig.api.deleted == []
