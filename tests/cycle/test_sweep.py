"""What contradicts our rows in the list that was read needs a look, and nothing else."""

from __future__ import annotations

from pathlib import Path

from billing.core.states import PaymentState
from tests.support.business import Business
from tests.support.rig import Rig


def test_a_payment_that_a_person_deleted_at_mileston_needs_a_look_and_is_not_charged_again(
    business: Business,
) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    business.run("2026-02-01")
    (remote,) = business.remote()
    business.sandbox.delete(remote)

    report = business.run("2026-02-02")
    business.run("2026-02-03")

    (payment,) = business.payments()
    assert "no longer at Mileston" in payment["attention"]
    assert report.outcome == "attention"
    assert business.remote() == []
    assert [n["kind"] for n in business.notices()] == ["payment_created"]


def test_paid_and_then_unpaid_again_needs_a_look_and_nothing_else(business: Business) -> None:
    business.subscribe(
        "ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01",
        "bob,Gold,Bob,bob@example.com,19.90,1 month,2026-02-01",
    )
    business.run("2026-02-01")
    ada, bob = business.payments()
    business.sandbox.pay(ada["remote_id"])
    business.run("2026-02-02")
    business.sandbox.ask("POST", f"unpay/{ada['remote_id']}")
    business.run("2026-02-03")

    ada, bob = business.payments()
    assert (ada["state"], bob["state"]) == ("paid", "open")
    assert "unpaid" in ada["attention"]
    assert len(business.remote(live=False)) == 2


def test_what_was_rejected_and_is_there_all_the_same_is_adopted(tmp_path: Path) -> None:
    """An API may say no and mean yes; or another copy of this database sent the payment on."""
    rig = Rig(tmp_path / "home")
    rig.subscribe("acme")
    rig.api.script.append("refused")
    rig.cycle()
    assert rig.payment().state == PaymentState.REJECTED
    request, _ = rig.api.creates[0]
    rig.api.add(request)
    rig.subscribe("other")  # the list is read because something is about to be sent

    rig.cycle()

    assert rig.payment().state == PaymentState.OPEN
    assert [made.marker for made in rig.api.live].count(request.marker) == 1
