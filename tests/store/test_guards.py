"""What the database itself, its lock and its memory refuse; each test fails when its guard is gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, select, text, update

import billing
from billing.core.schedule import PlannedPeriod
from billing.core.states import NoticeKind
from billing.cycle.plan import new_payment, plan
from billing.errors import AlreadyRunning, StoreError, WrongDatabase
from billing.lifecycle import payments as verbs
from billing.lifecycle.notices import dedupe_key, new_notice, queue
from billing.lifecycle.restore import mark_restored
from billing.store.connection import Database
from billing.store.identity import claim_identity, generation
from billing.store.lock import cycle_lock
from billing.store.models import notices, subscriptions
from billing.store.subscriptions import terms_of
from tests.support.fake_gateway import START
from tests.support.rig import DAY, QUIET, Rig


def test_these_tests_look_at_the_tree_that_they_stand_in() -> None:
    assert Path(billing.__file__).parents[1] == Path(__file__).parents[2]


def test_a_schedule_that_was_set_back_plans_nothing_twice(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.cycle()
    with rig.db.transaction() as tx:
        tx.execute(update(subscriptions).values(next_period=0, next_due_on=DAY))

    rig.cycle()

    assert len(rig.payments()) == 1
    assert len(rig.api.creates) == 1


def test_a_period_has_one_payment_whatever_its_marker(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.cycle()
    with rig.db.transaction() as tx:
        row = tx.execute(select(subscriptions)).one()
        period = _period_of(row)
        again = new_payment(row, period, START, date.min) | {"marker": "RB-AAAAAAAAAAAAAAAA"}
        verbs.plan(tx, "run:1", START, [again])

    assert len(rig.payments()) == 1


def test_a_marker_stands_for_one_payment(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe("one")
    rig.subscribe("other")
    with rig.db.transaction() as tx:
        rows = tx.execute(select(subscriptions).order_by(subscriptions.c.id)).all()
        same = [
            new_payment(row, _period_of(row), START, date.min) | {"marker": "RB-AAAAAAAAAAAAAAAA"}
            for row in rows
        ]
        for row in same:
            verbs.plan(tx, "run:1", START, [row])

    assert len(rig.payments("one")) + len(rig.payments("other")) == 1


def _period_of(row: Row[Any]) -> PlannedPeriod:
    terms = terms_of(row)
    return PlannedPeriod(0, terms.due_on(0), terms.period_end_on(0), held=False)


def test_an_illegal_transition_is_refused_by_the_database_itself(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.cycle()

    with pytest.raises(StoreError, match="illegal transition"), rig.db.transaction() as tx:
        tx.execute(text("UPDATE payments SET state = 'planned'"))

    assert rig.payment().state == "open"


def test_a_dedupe_key_is_used_once_for_ever(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    subscription_id = rig.subscribe()
    key = dedupe_key(NoticeKind.PAYMENT_OVERDUE, "acme", DAY, "d3")
    notice = new_notice(NoticeKind.PAYMENT_OVERDUE, key, START, subscription_id=subscription_id)

    with rig.db.transaction() as tx:
        queued = [queue(tx, [notice]) for _ in range(2)]
        stored = tx.execute(select(notices.c.dedupe_key)).scalars().all()

    assert (queued, stored) == ([1, 0], [key])


@pytest.mark.parametrize(
    ("environment", "business"), [("live", "business-1"), ("sandbox", "business-2")], ids=["live", "business"]
)
def test_a_database_of_another_environment_or_business_is_refused(
    tmp_path: Path, environment: str, business: str
) -> None:
    rig = Rig(tmp_path)

    with pytest.raises(WrongDatabase, match="belongs to"):
        claim_identity(rig.db, environment, business)


def test_a_removed_lock_file_lets_no_second_cycle_in(tmp_path: Path) -> None:
    database = tmp_path / "billing.db"
    second = (
        "import sys; from pathlib import Path; from billing.store.lock import cycle_lock\n"
        "with cycle_lock(Path(sys.argv[1])): pass"
    )

    with cycle_lock(database):
        (tmp_path / "billing.db.lock").unlink()
        command = [sys.executable, "-c", second, str(database)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "AlreadyRunning" in done.stderr


def test_a_replaced_database_lets_no_second_cycle_in(tmp_path: Path) -> None:
    database = tmp_path / "billing.db"

    with cycle_lock(database):
        database.rename(tmp_path / "old.db")
        with pytest.raises(AlreadyRunning), cycle_lock(database):
            pass


def test_a_database_from_a_backup_looks_before_it_sends_what_it_planned(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.cycle((plan,))
    seen = _lose_a_cycle(rig, tmp_path)

    _restore(rig, seen)
    rig.cycles_at(60, 60 + QUIET + 1, 60 + 2 * QUIET + 2)

    assert len(rig.api.live) == 1
    assert rig.payment().remote_id == "remote-1"


def test_a_database_from_a_backup_looks_before_it_sends_what_it_plans_anew(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe("earlier")
    rig.cycle()
    rig.subscribe()
    seen = _lose_a_cycle(rig, tmp_path)

    _restore(rig, seen)
    rig.cycles_at(60, 60 + QUIET + 1, 60 + 2 * QUIET + 2)

    assert len(rig.api.live) == 2
    assert rig.payment().remote_id == "remote-2"


def test_a_new_database_looks_for_what_a_lost_one_sent(tmp_path: Path) -> None:
    """Nothing is left of the old one, and its last create takes effect while the new one begins."""
    lost = Rig(tmp_path / "lost")
    for reference in ("acme", "late"):
        lost.subscribe(reference)
    lost.api.script.extend(["ok", f"late:{QUIET // 2}"])
    lost.cycle()
    rig = Rig(tmp_path / "new")
    rig.api, rig.clock = lost.api, lost.clock
    for reference in ("acme", "late", "never-sent"):
        rig.subscribe(reference)

    report = rig.cycle()

    # What the list shows is adopted at once; what it does not show may still be on its way.
    assert (report.due, report.adopted, report.unknown, report.created) == (3, 1, 2, 0)
    rig.cycles_at(60, 60 + QUIET + 1, 60 + 2 * QUIET + 2)
    assert len(rig.api.live) == 3
    assert [rig.payment(r).remote_id for r in ("acme", "late", "never-sent")] == [
        "remote-1",
        "remote-2",
        "remote-3",
    ]


def test_a_new_database_sends_at_once_where_nothing_is_its_own(tmp_path: Path) -> None:
    other = Rig(tmp_path / "other")
    other.subscribe("another-product")
    other.cycle()
    rig = Rig(tmp_path / "new")
    rig.api, rig.clock = other.api, other.clock
    rig.subscribe()

    assert rig.cycle().created == 1


def _lose_a_cycle(rig: Rig, folder: Path) -> int:
    """A backup, a cycle that charges, and the backup put back; answers the generation that was seen."""
    rig.db.close()
    shutil.copy(rig.path, folder / "backup.db")
    rig.db = Database(f"sqlite:///{rig.path}")
    rig.cycle()
    seen = generation(rig.db)
    rig.db.close()
    for leftover in folder.glob("billing.db*"):
        leftover.unlink()
    shutil.copy(folder / "backup.db", rig.path)
    rig.db = Database(f"sqlite:///{rig.path}")
    return seen


def _restore(rig: Rig, seen_generation: int) -> None:
    with rig.db.transaction() as tx:
        mark_restored(tx, "program:restore", rig.clock(), DAY, seen_generation)
