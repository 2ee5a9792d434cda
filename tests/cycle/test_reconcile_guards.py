"""What stands between a lost answer and a second create; each test fails when its guard is gone."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from billing.app import decisions
from billing.core.markers import marker_for
from billing.cycle.observe import observe
from billing.cycle.reconcile import reconcile
from billing.cycle.settle import settle
from billing.lifecycle.restore import require_lookup
from tests.support.rig import CHARGING, DAY, LOOKING, QUIET, Rig


def test_a_create_that_takes_effect_late_is_found_and_not_sent_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.api.script.append(f"late:{QUIET + 15}")

    rig.cycles_at(0, 1, QUIET + 1, QUIET + 2, 2 * QUIET + 2, 3 * QUIET)

    assert len(rig.api.creates) == 1
    assert (rig.payment().state, rig.payment().remote_id) == ("open", "remote-1")


def test_two_looks_at_nearly_the_same_time_are_one(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.api.script.extend([f"late:{QUIET + 15}", "never"])
    rig.cycle()
    rig.clock.to(2)
    rig.subscribe("other")
    rig.cycle()

    # The other one's look is due right after the first look at this one; one list shows both.
    rig.cycles_at(QUIET + 1, QUIET + 2, 2 * QUIET + 2)

    marker = rig.payment().marker
    assert sum(request.marker == marker for request, _ in rig.api.creates) == 1
    assert (rig.payment().state, rig.payment().remote_id) == ("open", "remote-1")


def test_one_look_at_a_list_that_lags_proves_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.api.script.append("lost")
    rig.api.lag_seconds = QUIET + 5

    rig.cycles_at(0, QUIET + 1, QUIET + 2, 2 * QUIET + 2)

    assert len(rig.api.creates) == 1
    assert rig.payment().state == "open"


def test_a_create_that_never_took_effect_is_sent_again_after_two_looks(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.api.script.append("never")

    rig.cycles_at(0, QUIET + 1, 2 * QUIET + 2)

    assert [remote.remote_id for remote in rig.api.live] == ["remote-1"]
    assert (len(rig.api.creates), rig.payment().state) == (2, "open")


def test_what_another_worker_adopted_while_its_record_was_read_is_left_alone(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.api.script.append("strange")
    rig.api.on_create = lambda _request: setattr(rig.api, "broken", True)
    assert rig.cycle().unknown == 1
    rig.api.broken = False

    def another_worker() -> None:
        if not rig.api.asked[-1].startswith("get"):
            return
        rig.api.meanwhile = lambda: None
        worker = threading.Thread(target=rig.cycle, kwargs={"steps": LOOKING, "exclusive": False})
        worker.start()
        worker.join()

    rig.api.meanwhile = another_worker
    report = rig.cycle(LOOKING, exclusive=False)

    assert rig.payment().state == "open"
    assert (report.adopted, report.unknown) == (0, 0)


def test_a_list_that_is_cut_off_proves_no_absence(tmp_path: Path) -> None:
    rig = Rig(
        tmp_path,
        reconcile={"quiet_seconds": float(QUIET), "page_size": 2, "max_records": 2, "look_first_up_to": 0},
    )
    for reference in ("a", "b", "c", "d"):
        rig.subscribe(reference)
    rig.cycle()
    rig.subscribe("lost")
    rig.api.script.append("lost")

    # Oldest first and at most two: the list never comes to the one that is looked for.
    rig.cycles_at(10, QUIET + 20, 2 * QUIET + 30, 3 * QUIET + 40, 90_000, 2 * 90_000)

    assert len(rig.api.creates) == 5
    assert rig.payment("lost").state == "unknown"


def test_a_short_list_without_what_must_be_in_it_proves_no_absence(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe("seen")
    rig.cycle()
    rig.subscribe("lost")
    rig.api.script.append("lost")
    rig.api.hidden = True

    rig.cycles_at(10, QUIET + 20, 2 * QUIET + 30, 3 * QUIET + 40)

    assert len(rig.api.creates) == 2
    assert rig.payment("lost").state == "unknown"


def test_one_payment_of_ours_tells_no_order_of_the_list(tmp_path: Path) -> None:
    rig = Rig(
        tmp_path,
        reconcile={"quiet_seconds": float(QUIET), "page_size": 1, "max_records": 1, "look_first_up_to": 0},
    )
    rig.subscribe("seen")
    rig.cycle()
    rig.subscribe("lost")
    rig.api.script.append("lost")

    rig.cycles_at(10, QUIET + 20, 2 * QUIET + 30, 3 * QUIET + 40)

    assert len(rig.api.creates) == 2
    assert rig.payment("lost").state == "unknown"


def test_a_list_that_lacks_what_was_made_since_proves_no_absence(tmp_path: Path) -> None:
    rig = Rig(tmp_path, reconcile={"quiet_seconds": float(QUIET), "page_size": 6, "max_records": 6})
    rig.api.newest_first = True
    for n in range(6):
        rig.subscribe(f"seen-{n}")
        rig.cycles_at(10 * n)
    rig.api.frozen_at = rig.clock()
    rig.subscribe("lost")
    rig.api.script.append("lost")
    rig.cycles_at(60)
    rig.subscribe("later")

    # Full, and newest first as far as one sees: only the later one's absence betrays it.
    rig.cycles_at(70, QUIET + 80, 2 * QUIET + 90, 3 * QUIET + 100)

    assert len(rig.api.creates) == 8
    assert rig.payment("lost").state == "unknown"


@pytest.mark.parametrize("newest_first", [False, True])
def test_of_two_unpaid_ones_the_older_is_kept(tmp_path: Path, newest_first: bool) -> None:
    rig = Rig(tmp_path)
    rig.api.newest_first = newest_first
    for n in range(2):
        rig.subscribe(f"seen-{n}")
        rig.cycles_at(10 * n)
    rig.subscribe("lost")
    rig.api.script.append("lost")
    rig.cycles_at(20)
    rig.clock.to(21)
    double = rig.api.add(rig.api.creates[-1][0])

    rig.cycles_at(30)

    assert (rig.payment("lost").remote_id, rig.api.deleted) == ("remote-3", [double])


def test_only_the_own_marker_is_adopted(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.api.script.append("never")
    rig.cycle()
    rig.api.add(replace(rig.api.creates[0][0], marker=marker_for("another business's", DAY)))
    rig.clock.to(10)

    rig.cycle(LOOKING)

    assert (rig.payment().state, rig.payment().remote_id) == ("unknown", None)


def test_the_own_marker_with_another_amount_is_left_to_a_person(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.api.script.append("lost")
    rig.cycle()
    rig.api.made[0].remote = replace(rig.api.made[0].remote, amount_micros=1)

    rig.cycles_at(1, QUIET + 1, 2 * QUIET + 2)

    assert len(rig.api.creates) == 1
    assert (rig.payment().state, rig.payment().remote_id) == ("parked", None)


def test_the_list_is_read_again_right_before_something_is_sent_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.api.script.append(f"late:{2 * QUIET + 10}")
    rig.cycle()
    for second in (QUIET + 1, 2 * QUIET + 2):
        rig.clock.to(second)
        rig.cycle(LOOKING)
    assert rig.payment().state == "planned", "two looks proved it absent, and then the run died"

    rig.cycles_at(2 * QUIET + 20, 3 * QUIET + 20)

    assert len(rig.api.creates) == 1
    assert (rig.payment().state, rig.payment().remote_id) == ("open", "remote-1")


def test_a_person_s_word_before_resending_is_waited_for_if_so_configured(tmp_path: Path) -> None:
    rig = Rig(tmp_path, reconcile={"quiet_seconds": float(QUIET), "when_absent": "park"})
    rig.subscribe()
    rig.api.script.append("never")

    rig.cycles_at(0, QUIET + 1, 2 * QUIET + 2, 90_000)

    assert len(rig.api.creates) == 1
    assert rig.payment().state == "parked"


def test_after_a_restore_a_person_s_word_is_enough_for_what_was_proved_absent(tmp_path: Path) -> None:
    rig = Rig(tmp_path, reconcile={"quiet_seconds": float(QUIET), "when_absent": "park"})
    rig.subscribe()
    with rig.db.transaction() as tx:
        assert require_lookup(tx, DAY, rig.clock(), "it was restored") == 0
    rig.cycles_at(0, QUIET + 1, 2 * QUIET + 2)
    assert rig.payment().state == "parked"

    decisions.release(rig.db, [rig.payment().id], rig.clock(), "checked")
    rig.cycles_at(2 * QUIET + 3)

    assert (rig.payment().state, len(rig.api.creates)) == ("open", 1)


def test_a_duplicate_that_was_paid_meanwhile_is_not_deleted(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.cycle()
    extra = rig.api.add(rig.api.creates[0][0])
    rig.api.pay(extra)
    rig.api.believed_unpaid = True
    rig.clock.to(3600)

    rig.cycle((*CHARGING, settle))

    assert rig.api.deleted == []


def test_a_process_that_slept_after_its_look_deletes_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.cycle()
    extra = rig.api.add(rig.api.creates[0][0])
    rig.clock.to(3600)

    def sleep(point: str) -> None:
        if point == "sweep.before-delete":
            rig.clock.to(7200)
            rig.api.pay(extra)

    rig.cycle((*CHARGING, settle), checkpoint=sleep)

    assert rig.api.deleted == []


def test_the_last_one_left_is_never_deleted(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.cycle()
    left = rig.api.add(rig.api.creates[0][0])
    rig.api.made[0].deleted = True  # by a person at Mileston
    rig.clock.to(3600)

    rig.cycle((*CHARGING, settle))

    assert [remote.remote_id for remote in rig.api.live] == [left]
    assert rig.payment().remote_id == left


def test_an_unpaid_duplicate_is_deleted(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.cycle()
    extra = rig.api.add(rig.api.creates[0][0])
    rig.clock.to(3600)

    rig.cycle((*CHARGING, settle))

    assert rig.api.deleted == [extra]


def test_a_list_that_shows_what_is_past_calls_nobody(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe("paid")
    rig.subscribe("open")
    rig.cycle()
    rig.api.pay(rig.payment("paid").remote_id)
    rig.clock.to(3600)
    rig.cycle((observe, settle))
    assert rig.payment("paid").state == "paid"
    rig.api.believed_unpaid = True
    rig.clock.to(7200)

    rig.cycle((observe, reconcile))

    assert rig.payment("paid").attention == ""


@pytest.mark.parametrize("paid", [False, True])
def test_a_duplicate_of_a_voided_payment_is_deleted_or_told_of_if_it_was_paid(
    tmp_path: Path, paid: bool
) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.subscribe("other")  # or no list would be read any more
    rig.cycle()
    asyncio.run(decisions.void(rig.db, rig.api, rig.payment().id, rig.clock(), 0, "a present"))
    extra = rig.api.add(rig.api.creates[0][0])  # late
    if paid:
        rig.api.pay(extra)
    rig.clock.to(3600)

    rig.cycle((*CHARGING, settle))

    assert (extra in rig.api.deleted) is not paid
    assert rig.payment().state == "void"
    assert ("pay it back" in rig.payment().attention) is paid


def test_the_doubles_of_an_adopted_payment_are_deleted_with_the_list_that_showed_them(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.api.script.append("lost")
    rig.cycle()
    extra = rig.api.add(rig.api.creates[0][0])
    rig.clock.to(QUIET + 1)

    rig.cycle((observe, reconcile))

    assert (rig.payment().state, rig.payment().remote_id) == ("open", "remote-1")
    assert rig.api.deleted == [extra]


def test_the_record_of_a_voided_payment_that_comes_to_light_is_told(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.cycle()
    hidden, rig.api.made = rig.api.made, []  # Mileston does not show it yet: nothing is there to delete
    asyncio.run(decisions.void(rig.db, rig.api, rig.payment().id, rig.clock(), 0, "a present"))
    rig.api.made = hidden
    rig.subscribe("other")

    rig.cycles_at(QUIET, 2 * QUIET)

    attention = "it is void, and its record remote-1 is still at Mileston: delete it there"
    assert (rig.payment().state, rig.payment().attention) == ("void", attention)
