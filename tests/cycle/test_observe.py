"""The list is read once in a cycle, and long enough for everything that is judged by it."""

from __future__ import annotations

from pathlib import Path

from billing.core.states import PaymentState
from billing.cycle.observe import observe
from billing.cycle.settle import settle
from tests.support.fake_gateway import FakeGateway
from tests.support.rig import CHARGING, LOOKING, QUIET, TIMEOUT, Rig


def lists(api: FakeGateway) -> int:
    return api.asked.count("list")


def test_a_list_read_for_the_open_payments_alone_takes_no_earlier_proof_back(tmp_path: Path) -> None:
    """A list that shows the open payments may be too short for what was lost before them."""
    rig = Rig(tmp_path / "home", reconcile={"page_size": 2, "quiet_seconds": QUIET, "look_first_up_to": 0})
    rig.api.newest_first = True
    rig.subscribe("lost")
    rig.api.script.append("never")
    rig.cycle()
    for number in range(8):
        rig.subscribe(f"s{number}")
    rig.clock.to(1)
    rig.cycle()
    for made in rig.api.made[:7]:
        rig.api.pay(made.remote.remote_id)
    rig.clock.to(2)
    rig.cycle((observe, settle))
    first_look = TIMEOUT + QUIET + 30
    rig.clock.to(first_look)
    rig.cycle(LOOKING)
    assert rig.payment("lost").absent_looks == 1

    for soon in range(1, 5):
        rig.clock.to(first_look + soon)
        rig.cycle(LOOKING)
        assert rig.payment("lost").absent_looks == 1

    rig.clock.to(first_look + QUIET + 1)
    rig.cycle(CHARGING)
    assert rig.payment("lost").state == PaymentState.OPEN
    assert len([request for request, _ in rig.api.creates if request.email == "lost@example.com"]) == 2


def test_the_list_is_read_once_in_a_cycle_and_not_at_all_without_a_question(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "home")
    rig.cycle()
    assert lists(rig.api) == 0
    for number in range(3):
        rig.subscribe(f"s{number}")
    rig.cycle()
    assert lists(rig.api) == 1
    rig.clock.to(60)
    rig.cycle()
    assert lists(rig.api) == 2


def test_a_list_that_can_not_be_read_leaves_everything_as_it_is(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "home")
    rig.subscribe()
    rig.api.script.append("lost")
    rig.cycle()
    before = rig.payment()
    rig.clock.to(QUIET + TIMEOUT + 30)
    rig.api.broken = True

    report = rig.cycle()

    after = rig.payment()
    assert (after.state, after.absent_looks) == (before.state, before.absent_looks)
    assert [problem.split(":")[0] for problem in report.problems] == ["observe"]
    assert report.outcome == "attention"
    assert len(rig.api.creates) == 1
