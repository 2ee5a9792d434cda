"""Whose database it is, what it remembers of itself, and what it believes after a restore."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from billing.errors import WrongDatabase
from billing.lifecycle.restore import mark_restored, require_lookup
from billing.store import runs
from billing.store.connection import Database
from billing.store.identity import begin_generation, claim_identity, fingerprint, generation, restored_on
from billing.store.models import identity, payments
from tests.support.databases import NOW, TODAY, a_payment, a_subscription, owned

DAY = timedelta(days=1)


def own_row(db: Database) -> Any:
    with db.read() as connection:
        return connection.execute(select(identity)).one()


def restored(db: Database, seen_generation: int = 0) -> Any:
    with db.transaction() as tx:
        noticed = mark_restored(tx, "program:restore", NOW, TODAY, seen_generation)
        assert noticed == (restored_on(tx) is not None)
        return restored_on(tx)


def test_the_first_run_makes_the_database_its_own(db: Database) -> None:
    claim_identity(db, "live", "biz-1")
    claim_identity(db, "live", "biz-1")
    row = own_row(db)
    assert (row.environment, row.business_fingerprint, row.generation) == ("live", fingerprint("biz-1"), 0)
    assert (row.restored_on, row.copied_at, row.reminder_offsets) == (None, None, "")


@pytest.mark.parametrize(
    ("environment", "business", "message"),
    [
        ("live", "biz-1", "belongs to the sandbox environment, and mileston.environment is 'live'"),
        ("sandbox", "biz-2", "belongs to another business than MILESTON_BUSINESS_ID names"),
        ("live", "biz-2", "belongs to the sandbox environment"),
    ],
)
def test_another_environment_or_business_is_refused(
    db: Database, environment: str, business: str, message: str
) -> None:
    owned(db)
    with pytest.raises(WrongDatabase, match=message) as refused:
        claim_identity(db, environment, business)
    assert refused.value.exit_code == 78
    assert "biz" not in str(refused.value)
    assert own_row(db).environment == "sandbox"


def test_a_fingerprint_tells_businesses_apart_and_not_what_they_are() -> None:
    assert fingerprint("biz-1") == "d00dafcc2054a376"
    assert fingerprint("biz-1") != fingerprint("biz-2")


def test_several_first_runs_at_once_agree(db: Database, database_url: str) -> None:
    barrier = threading.Barrier(4)

    def first_run() -> None:
        own = Database(database_url)
        barrier.wait()
        claim_identity(own, "sandbox", "biz-1")
        own.close()

    with ThreadPoolExecutor(4) as pool:
        for started in [pool.submit(first_run) for _ in range(4)]:
            started.result()
    assert own_row(db).environment == "sandbox"


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_first_run_waits_for_one_that_is_about_to_commit(db: Database) -> None:
    with ThreadPoolExecutor(1) as pool:
        with db.transaction() as tx:
            mine = {"environment": "live", "business_fingerprint": fingerprint("biz-1")}
            tx.execute(insert(identity).values(mine))
            other = pool.submit(claim_identity, db, "sandbox", "biz-1")
        with pytest.raises(WrongDatabase, match="belongs to the live environment"):
            other.result()


def test_each_cycle_is_a_generation(db: Database) -> None:
    owned(db)
    with db.transaction() as tx:
        assert runs.start(tx, "run-1", TODAY, NOW) == 1
        assert runs.start(tx, "run-2", TODAY, NOW + DAY) == 2
        assert begin_generation(tx) == 3
    assert generation(db) == 3


def test_a_database_that_is_where_it_was_is_not_restored(db: Database) -> None:
    owned(db)
    with db.transaction() as tx:
        runs.start(tx, "run-1", TODAY, NOW)
    payment = a_payment(db, a_subscription(db))
    assert restored(db, seen_generation=0) is None
    assert restored(db, seen_generation=1) is None
    assert state_of(db, payment).state == "planned"


def state_of(db: Database, payment: int) -> Any:
    with db.read() as connection:
        return connection.execute(select(payments).where(payments.c.id == payment)).one()


@pytest.mark.parametrize("sign", ["an older generation", "the mark of a copy"])
def test_a_restored_database_looks_before_it_sends(db: Database, sign: str) -> None:
    owned(db)
    if sign == "the mark of a copy":
        with db.transaction() as tx:
            tx.execute(update(identity).values(copied_at=NOW))
    looked = {"absent_looks": 1, "absent_at": NOW - DAY, "look_step": 2, "next_look_at": NOW + DAY}
    subscription = a_subscription(db)
    planned = a_payment(db, subscription, **looked)
    held = a_payment(db, subscription, TODAY + DAY, state="held")
    open_ = a_payment(db, subscription, TODAY + 2 * DAY, state="open")

    assert restored(db, seen_generation=0 if sign == "the mark of a copy" else 7) == TODAY
    row = state_of(db, planned)
    assert (row.state, row.cause) == ("unknown", "the database was restored from a backup")
    # What was proved before the backup says nothing about what was sent after it.
    assert (row.absent_looks, row.absent_at, row.look_step, row.next_look_at) == (0, None, 0, None)
    assert (state_of(db, held).state, state_of(db, open_).state) == ("held", "open")
    assert own_row(db).copied_at is None
    assert generation(db) == (0 if sign == "the mark of a copy" else 7)


def test_after_a_restore_every_quiet_window_begins_anew(db: Database) -> None:
    owned(db)
    subscription = a_subscription(db)
    looked = {"absent_looks": 1, "absent_at": NOW, "look_step": 2, "next_look_at": NOW + DAY}
    perhaps_sent = ("unknown", "sending", "held", "rejected", "parked")
    ids = {
        state: a_payment(db, subscription, TODAY + i * DAY, state=state, **looked)
        for i, state in enumerate((*perhaps_sent, "open", "void"))
    }
    with db.transaction() as tx:
        assert mark_restored(tx, "program:restore", NOW + DAY, TODAY, 7)
    for state, payment in ids.items():
        row = state_of(db, payment)
        anew = (NOW + DAY, 0, None, 0, None)
        seen = (row.deadline_at, row.absent_looks, row.absent_at, row.look_step, row.next_look_at)
        assert (seen == anew) == (state in perhaps_sent)


def test_a_database_in_doubt_looks_for_what_it_believes_unsent(db: Database) -> None:
    owned(db)
    subscription = a_subscription(db)
    planned = [a_payment(db, subscription, TODAY + i * DAY, deadline_at=NOW - DAY) for i in range(2)]
    held = a_payment(db, subscription, TODAY + 2 * DAY, state="held")
    with db.transaction() as tx:
        assert require_lookup(tx, TODAY, NOW, "a lost one") == 2
    for payment in planned:
        row = state_of(db, payment)
        assert (row.state, row.cause, row.deadline_at) == ("unknown", "a lost one", NOW)
    assert state_of(db, held).state == "held"
    assert own_row(db).restored_on == TODAY


def test_a_restore_is_noticed_once(db: Database) -> None:
    owned(db)
    assert restored(db, seen_generation=7) == TODAY
    payment = a_payment(db, a_subscription(db))
    with db.transaction() as tx:
        assert not mark_restored(tx, "program:restore", NOW, TODAY + DAY, 7)
        assert restored_on(tx) == TODAY
    assert state_of(db, payment).state == "planned"
