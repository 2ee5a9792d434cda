"""Ids of remote records that the API uses twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

from billing.app import decisions
from billing.core.states import PaymentState
from tests.support.rig import LOOKING, Rig


def test_an_id_that_the_api_uses_again_stops_no_billing(tmp_path: Path) -> None:
    """A voided payment keeps the id of its record as history; the API may give it to another."""
    rig = Rig(tmp_path / "home")
    rig.subscribe("acme")
    rig.cycle()
    asyncio.run(decisions.void(rig.db, rig.api, rig.payment().id, rig.clock(), 0, "a mistake"))
    used = rig.payment().remote_id
    rig.subscribe("other")
    rig.subscribe("third")
    rig.api.script.append("lost")
    rig.api.ids.append(used)

    rig.clock.to(600)
    rig.cycle()
    rig.clock.to(1200)
    rig.cycle(LOOKING)

    assert {rig.payment(name).state for name in ("other", "third")} == {PaymentState.OPEN}
    assert rig.payment("other").remote_id == used
    assert rig.payment().state == PaymentState.VOID


def test_an_id_of_another_open_payment_is_left_to_a_person(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "home")
    rig.subscribe("acme")
    rig.cycle()
    rig.subscribe("other")
    rig.api.script.append("lost")
    rig.api.ids.append(rig.payment().remote_id)

    rig.clock.to(600)
    rig.cycle()
    rig.clock.to(1200)
    rig.cycle(LOOKING)

    assert rig.payment("other").state == PaymentState.PARKED
    assert f"has the id of payment {rig.payment().id}" in rig.payment("other").cause
