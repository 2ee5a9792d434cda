"""How long a proof of absence is good, and what a database that was replaced believes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from billing.app import decisions
from billing.core.markers import marker_for
from billing.core.outcomes import PaymentRequest
from billing.core.states import PaymentState
from billing.lifecycle.notices import PERHAPS_SENT
from billing.store.models import notices
from tests.support.rig import DAY, LOOKING, QUIET, TIMEOUT, Rig


def proved_absent(folder: Path, **settings: Any) -> Rig:
    """`acme` was proved absent 90 s after the start and is planned; nothing has been sent again yet."""
    rig = Rig(folder / "home", **settings)
    rig.subscribe("acme")
    rig.api.script.append("never")
    rig.cycle()
    for second in (TIMEOUT + QUIET + 30, TIMEOUT + 2 * QUIET + 31):
        rig.clock.to(second)
        rig.cycle(LOOKING)
    assert rig.payment().state == PaymentState.PLANNED
    return rig


def test_what_turned_up_after_its_proof_had_grown_old_is_not_sent_again(tmp_path: Path) -> None:
    rig = proved_absent(tmp_path)
    request, _ = rig.api.creates[0]
    rig.clock.to(3600)
    rig.api.add(request)  # the API takes its time

    rig.cycle()

    assert rig.payment().state == PaymentState.OPEN
    assert len(rig.api.live) == 1
    assert len(rig.api.creates) == 1


@pytest.mark.parametrize("when_absent", ["resend", "park"])
def test_an_old_proof_is_renewed_by_one_look_and_the_payment_goes_out_in_the_same_cycle(
    tmp_path: Path, when_absent: str
) -> None:
    rig = proved_absent(tmp_path)
    reconcile = rig.settings.reconcile.model_copy(update={"when_absent": when_absent})
    rig.settings = rig.settings.model_copy(update={"reconcile": reconcile})
    rig.clock.to(3600)
    assert rig.cycle().created == 1
    assert len(rig.api.live) == 1


def test_an_old_proof_without_a_list_sends_nothing(tmp_path: Path) -> None:
    rig = proved_absent(tmp_path)
    rig.clock.to(3600)
    rig.api.broken = True
    assert rig.cycle().created == 0
    assert rig.payment().state == PaymentState.UNKNOWN


def test_a_proof_that_grows_old_in_mid_run_sends_nothing(tmp_path: Path) -> None:
    """A run may be slow, or its machine may sleep."""
    rig = proved_absent(tmp_path)

    def an_hour_passes(point: str) -> None:
        if point == "plan.done":
            rig.clock.to(7200)

    report = rig.cycle(checkpoint=an_hour_passes)

    assert (report.created, report.not_sent) == (0, 1)
    assert rig.payment().state == PaymentState.PLANNED
    assert rig.cycle().created == 1


def test_a_single_look_is_no_proof_that_could_grow_old(tmp_path: Path) -> None:
    """A person says that it does not exist after the first look; the look stays on the row."""
    rig = Rig(tmp_path / "home")
    rig.subscribe("acme")
    rig.api.script.append("never")
    rig.cycle()
    rig.clock.to(TIMEOUT + QUIET + 30)
    rig.cycle(LOOKING)
    row = rig.payment()
    resolving = decisions.resolve(rig.db, rig.api, row.id, None, rig.clock(), DAY, "looked at their page")
    asyncio.run(resolving)
    rig.clock.to(3600)

    report = rig.cycle()

    assert (report.created, report.not_sent) == (1, 0)


def test_in_live_the_payable_day_is_never_before_the_real_day(tmp_path: Path) -> None:
    """Finding 22: a run as of a past day charges now, and dunning counts from now."""
    rig = Rig(tmp_path / "home", mileston={"environment": "live"}, reconcile={"quiet_seconds": 120.0})
    rig.subscribe()
    rig.clock.to(40 * 86_400)

    rig.cycle()

    assert rig.payment().due_on == DAY
    assert rig.payment().payable_on == DAY + timedelta(days=40)


def test_the_mail_of_what_another_copy_made_is_told_from_others(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "home")
    rig.subscribe("made")
    rig.api.add(
        PaymentRequest(marker_for("made", DAY), "Gold", 19_900_000, "Zoë", "made@example.com", DAY, 28)
    )
    rig.subscribe("new")
    for second in (0, 60, 120, 180, 240):
        rig.clock.to(second)
        rig.cycle()
    with rig.db.read() as tx:
        facts = {row.dedupe_key.split(".")[1]: row.facts for row in tx.execute(select(notices))}
    assert facts == {"made": PERHAPS_SENT, "new": ""}
