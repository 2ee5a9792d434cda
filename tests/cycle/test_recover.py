"""What a dead run left in the middle of sending is unknown, in however many pages it comes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from billing.cycle import recover as step
from billing.cycle.recover import recover
from tests.support.databases import a_payment
from tests.support.rig import DAY, Rig


@pytest.mark.parametrize("page", [1, 2, 500])
def test_all_that_was_being_sent_is_unknown_and_nothing_else_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(step, "_PAGE", page)
    rig = Rig(tmp_path)
    subscription = rig.subscribe()
    for n, state in enumerate(["sending", "open", "sending", "planned", "sending"]):
        a_payment(rig.db, subscription, DAY + timedelta(days=n), state=state, period=n)

    asyncio.run(recover(rig.context()))

    assert [row.state for row in rig.payments()] == ["unknown", "open", "unknown", "planned", "unknown"]
    assert rig.api.creates == []


def test_among_other_runs_a_lease_that_lasts_is_respected(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    subscription = rig.subscribe()
    for n, seconds in enumerate([-1, 60]):
        lease = rig.clock() + timedelta(seconds=seconds)
        a_payment(rig.db, subscription, DAY + timedelta(days=n), state="sending", period=n, lease_until=lease)

    asyncio.run(recover(rig.context(exclusive=False)))

    assert [row.state for row in rig.payments()] == ["unknown", "sending"]
