"""Dunning in a cycle: steps that were missed, an API that can't be read, a policy that changed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sqlalchemy import update

from billing.app import decisions
from billing.core.states import NoticeKind, PaymentState, SubscriptionStatus
from billing.cycle.dun import dun
from billing.cycle.observe import observe
from billing.cycle.settle import settle
from billing.lifecycle.notices import new_notice
from billing.store.bulk import insert_rows
from billing.store.models import notices, payments, subscriptions
from tests.support.business import Business
from tests.support.rig import DAY, Rig


def test_a_subscription_that_a_person_pauses_meanwhile_is_not_cancelled(tmp_path: Path) -> None:
    """The final action is for active ones: whether it is one is read when it is taken."""
    rig = Rig(tmp_path / "home", dunning={"final_action": "cancel"})
    rig.subscribe("acme")
    rig.cycle()
    with rig.db.transaction() as tx:
        told = new_notice(NoticeKind.PAYMENT_OVERDUE, "told", rig.clock())
        insert_rows(tx, notices, [told | {"state": "sent", "message_id": "<told>"}])
        values = {"payable_on": DAY - timedelta(days=40), "next_dun_on": DAY, "told_by": "told"}
        tx.execute(update(payments).values(values))

    def paused_during_the_last_look() -> None:
        if rig.api.asked[-1].startswith("get"):
            decisions.pause(rig.db, "acme", rig.clock(), "they asked")

    rig.api.meanwhile = paused_during_the_last_look
    rig.clock.to(600)
    rig.cycle((observe, settle, dun))

    assert rig.payment().state == PaymentState.UNCOLLECTIBLE
    with rig.db.read() as tx:
        assert tx.execute(subscriptions.select()).one().status == SubscriptionStatus.PAUSED


def test_overdue_steps_that_were_missed_collapse_into_the_latest(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    for day in ("2026-02-01", "2026-02-10", "2026-02-11", "2026-02-15"):
        business.run(day)

    kinds = [n["dedupe_key"] for n in business.notices() if n["kind"] == "payment_overdue"]
    assert kinds == ["payment_overdue.ada.2026-02-01.d7", "payment_overdue.ada.2026-02-01.d14"]


def test_no_overdue_mail_while_the_api_can_not_be_read(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    business.run("2026-02-01")
    business.sandbox.faults(**{"list.500": 1, "get.500": 1})
    blind = business.run("2026-02-03")
    assert [n["kind"] for n in business.notices()] == ["payment_created"]
    assert (blind.checked, blind.outcome) == (0, "attention")

    business.sandbox.faults()
    (payment,) = business.payments()
    business.sandbox.pay(payment["remote_id"])
    business.run("2026-02-03")
    assert [n["kind"] for n in business.notices()] == ["payment_created", "payment_received"]


def test_a_changed_policy_does_not_move_the_steps_of_a_payment_that_is_overdue(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    business.run("2026-02-01")
    business.run("2026-02-02")
    business.environ["BILLING_DUNNING__DAYS_AFTER"] = "2, 4"
    business.environ["BILLING_DUNNING__FINAL_AFTER_DAYS"] = "5"
    for day in range(3, 10):
        business.run(f"2026-02-{day:02}")

    kinds = [n["dedupe_key"][-2:] for n in business.notices() if n["kind"] == "payment_overdue"]
    assert kinds == ["d1", "d3", "d7"]
    assert business.payments()[0]["state"] == "open"
