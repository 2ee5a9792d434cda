"""Settling: what was paid is booked once, with a receipt; what the list hides is asked for by itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from billing.core.outcomes import RemoteStatus
from billing.core.states import PaymentState
from billing.cycle.observe import observe
from billing.cycle.reconcile import reconcile
from billing.cycle.recover import recover
from billing.cycle.settle import settle
from billing.store import identity
from billing.store.models import notices, payments
from tests.support.rig import QUIET, Rig


def three_open(folder: Path, **settings: dict[str, Any]) -> Rig:
    """Three payments that were created a while ago."""
    rig = Rig(folder, **settings)
    for reference in ("ada", "bob", "cy"):
        rig.subscribe(reference)
    rig.cycle()
    rig.clock.to(QUIET)
    return rig


def receipts(rig: Rig) -> list[str]:
    with rig.db.read() as tx:
        keys = tx.execute(select(notices.c.dedupe_key).where(notices.c.kind == "payment_received")).scalars()
        return sorted(keys)


def states(rig: Rig) -> list[str]:
    return [rig.payment(reference).state for reference in ("ada", "bob", "cy")]


def test_what_was_paid_is_booked_once_with_one_receipt(tmp_path: Path) -> None:
    rig = three_open(tmp_path)
    rig.api.pay(rig.payment("bob").remote_id)

    first = rig.cycle((observe, settle))
    rig.clock.to(QUIET + 1)
    second = rig.cycle((observe, settle))

    assert states(rig) == ["open", "paid", "open"]
    assert (first.checked, first.paid, second.checked, second.paid) == (3, 1, 2, 0)
    assert receipts(rig) == ["payment_received.bob.2026-02-01"]


def test_a_record_that_counts_no_more_settles_nothing(tmp_path: Path) -> None:
    """While it was read, another worker found out that a double is the one that counts."""
    rig = three_open(tmp_path)
    rig.api.hidden = True
    old = rig.payment("bob").remote_id
    rig.api.pay(old)

    def replaced() -> None:
        with rig.db.transaction() as tx:
            tx.execute(update(payments).where(payments.c.remote_id == old).values(remote_id="double"))

    rig.api.meanwhile = replaced
    report = rig.cycle((observe, settle))

    assert report.paid == 0
    assert states(rig) == ["open", "open", "open"]


def test_one_list_is_enough_for_all_that_it_shows(tmp_path: Path) -> None:
    rig = three_open(tmp_path)
    rig.api.asked.clear()

    rig.cycle((observe, settle))

    assert rig.api.asked == ["list"]


def test_what_the_list_does_not_show_is_asked_for_one_by_one(tmp_path: Path) -> None:
    rig = three_open(tmp_path)
    rig.api.hidden = True
    rig.api.pay(rig.payment("cy").remote_id)
    rig.api.asked.clear()

    rig.cycle((observe, settle))

    assert sorted(rig.api.asked) == ["get remote-1", "get remote-2", "get remote-3", "list"]
    assert states(rig) == ["open", "open", "paid"]


def test_a_few_of_a_long_history_are_asked_for_without_the_list(tmp_path: Path) -> None:
    rig = three_open(tmp_path)
    with rig.db.transaction() as tx:
        identity.note_list(tx, 76)
    rig.api.pay(rig.payment("cy").remote_id)
    rig.api.asked.clear()

    rig.cycle((observe, settle))

    assert sorted(rig.api.asked) == ["get remote-1", "get remote-2", "get remote-3"]
    assert states(rig) == ["open", "open", "paid"]


def test_a_list_that_could_not_be_read_lets_nobody_be_asked(tmp_path: Path) -> None:
    rig = three_open(tmp_path)
    rig.api.broken = True
    rig.api.asked.clear()

    rig.cycle((observe, settle))

    assert rig.api.asked == ["list"]


def test_where_nothing_is_open_nobody_is_asked(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    asyncio.run(settle(rig.context()))
    assert rig.api.asked == []


def test_an_api_that_cannot_be_read_is_a_problem_of_the_run_and_books_nothing(tmp_path: Path) -> None:
    rig = three_open(tmp_path)
    rig.api.pay(rig.payment("ada").remote_id)
    rig.api.broken = True

    report = rig.cycle((observe, settle))

    assert states(rig) == ["open", "open", "open"]
    assert report.problems == ["observe: the API can't be reached"]
    assert report.outcome == "attention"


def test_the_record_of_a_stranger_that_bears_our_id_settles_nothing(tmp_path: Path) -> None:
    """The API may give an id to another record: same amount, same date, another name and e-mail."""
    rig = Rig(tmp_path / "home")
    rig.subscribe("acme")
    rig.cycle()
    made = rig.api.made[0]
    made.remote = replace(made.remote, marker=None, email="stranger@example.net", status=RemoteStatus.PAID)
    rig.clock.to(600)
    rig.cycle((observe, settle))
    row = rig.payment()
    assert row.state == PaymentState.OPEN
    assert "is another's" in row.attention


def test_a_flag_of_paid_twice_outlives_the_booking(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "home")
    rig.subscribe("acme")
    rig.cycle()
    request, _ = rig.api.creates[0]
    for remote_id in (rig.payment().remote_id, rig.api.add(request)):
        rig.api.pay(remote_id)
    rig.clock.to(600)
    rig.cycle((observe, reconcile, settle))
    rig.clock.to(1200)
    rig.cycle((observe, reconcile, settle))
    row = rig.payment()
    assert row.state == PaymentState.PAID
    assert "paid twice" in row.attention


def test_a_look_of_a_clock_that_was_ahead_does_not_stop_the_looking(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "home")
    rig.subscribe("acme")
    rig.cycle()
    rig.clock.to(200 * 86_400)
    rig.cycle((recover, observe, settle))
    rig.api.pay(rig.payment().remote_id)
    rig.clock.to(900)  # it was put right
    rig.cycle((recover, observe, settle))
    rig.clock.to(1800)
    rig.cycle((recover, observe, settle))
    assert rig.payment().state == PaymentState.PAID
