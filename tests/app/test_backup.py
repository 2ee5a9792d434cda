"""Backups of a database in use; and after a restore nothing is charged twice."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from billing.app.backup import back_up, mark_restored_by_hand
from billing.app.runtime import utc_now
from billing.errors import StoreError, UsageError
from tests.support.business import Business
from tests.support.databases import a_subscription
from tests.support.nursery import Finished


@pytest.fixture
def billed(business: Business) -> Business:
    business.subscribe("ada,P,N,a@example.com,5,1 month,2026-03-01")
    business.run("2026-03-01")
    return business


def database_of(business: Business) -> Path:
    return business.folder / "var" / "billing.db"


def copied_at(path: Path) -> object:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT copied_at FROM identity").fetchone()[0]


def test_a_copy_is_private_checked_and_knows_that_it_is_one(billed: Business, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    size = back_up(billed.config, target, utc_now())

    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert target.stat().st_size == size
    assert copied_at(target) is not None
    assert copied_at(database_of(billed)) is None
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("SELECT count(*) FROM payments").fetchone() == (1,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert [path.name for path in tmp_path.glob("*copy*")] == ["copy.db"]


def test_a_restored_copy_looks_before_it_sends(billed: Business, tmp_path: Path) -> None:
    """What was charged after the backup is found at the API, not charged again."""
    target = tmp_path / "copy.db"
    back_up(billed.config, target, utc_now())
    billed.subscribe("bob,P,N,b@example.com,7,1 month,2026-03-01")
    billed.run("2026-04-01")
    charged = Counter(billed.due_dates(live=False))
    shutil.copy(target, database_of(billed))
    billed.subscribe("bob,P,N,b@example.com,7,1 month,2026-03-01")
    for _ in range(4):
        billed.run("2026-04-01")

    assert sum(charged.values()) == 4  # ada and bob, March and April
    assert Counter(billed.due_dates(live=False)) == charged
    # Nothing is unknown, planned or parked any more; and nobody is given up on the day of a first reminder.
    assert {payment["state"] for payment in billed.payments()} == {"open"}
    assert copied_at(database_of(billed)) is None
    assert billed.billing("events", "export").stdout.count("database_restored,it is a restored backup") == 1


def test_the_command_says_what_it_wrote(billed: Business, billing: Callable[..., Finished]) -> None:
    done = billing(billed, "backup", "copy.db", "--json")
    again = billing(billed, "backup", "copy.db")
    forced = billing(billed, "backup", "copy.db", "--force")

    assert json.loads(done.stdout)["bytes"] == (billed.folder / "copy.db").stat().st_size
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    assert (forced.returncode, "personal data" in forced.stdout) == (0, True)


@pytest.mark.parametrize("what", ["existing", "itself", "directory", "nowhere", "hard link"])
def test_nothing_is_overwritten(billed: Business, tmp_path: Path, what: str) -> None:
    live = database_of(billed)
    targets = {
        "existing": tmp_path / "precious",
        "itself": live.parent / ".." / "var" / "billing.db",
        "directory": tmp_path,
        "nowhere": tmp_path / "no" / "such" / "copy.db",
        "hard link": live.with_name("link.db"),
    }
    targets["existing"].write_text("precious")
    os.link(live, targets["hard link"])
    before = live.read_bytes()

    with pytest.raises(UsageError):
        back_up(billed.config, targets[what], utc_now(), force=what not in ("existing",))
    assert targets["existing"].read_text() == "precious"
    assert live.read_bytes() == before


def test_a_database_that_is_damaged_makes_no_backup(billed: Business, tmp_path: Path) -> None:
    live = database_of(billed)
    data = bytearray(live.read_bytes())
    data[4096 * 3 : 4096 * 6] = b"\xff" * (4096 * 3)
    live.write_bytes(bytes(data))
    with pytest.raises(StoreError, match="the backup failed"):
        back_up(billed.config, tmp_path / "copy.db", utc_now())
    assert list(tmp_path.glob("*copy*")) == []


def test_a_copy_made_while_others_write_is_whole(billed: Business, tmp_path: Path) -> None:
    going = threading.Event()
    written: list[int] = []

    def write() -> None:
        with billed.store() as db:
            while not going.is_set():
                written.append(a_subscription(db, f"s{len(written)}"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            back_up(billed.config, tmp_path / f"{number}.db", utc_now())
    finally:
        going.set()
        writer.join()
    counts = []
    for number in range(5):
        with closing(sqlite3.connect(tmp_path / f"{number}.db")) as copy:
            counts.append(copy.execute("SELECT count(*) FROM subscriptions").fetchone()[0])
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert counts == sorted(counts)


def test_without_a_database_there_is_nothing_to_back_up(business: Business, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to back up"):
        back_up(business.config, tmp_path / "copy.db", utc_now())
    assert not database_of(business).exists()


def test_postgresql_is_left_to_its_own_tools(business: Business, tmp_path: Path) -> None:
    business.environ["BILLING_DATABASE__URL"] = "postgresql://billing@127.0.0.1:9/billing"
    with pytest.raises(UsageError, match=r"pg_dump.*mark-restored"):
        back_up(business.config, tmp_path / "copy.db", utc_now())


def test_a_person_may_say_that_a_database_came_back(
    billed: Business, billing: Callable[..., Finished], tmp_path: Path
) -> None:
    """As after `pg_restore`: the state of a month ago, and nothing that tells so but a person's word."""
    before = tmp_path / "before"
    shutil.copytree(billed.folder / "var", before)
    billed.run("2026-04-01")
    charged = Counter(billed.due_dates(live=False))
    shutil.rmtree(billed.folder / "var")
    shutil.copytree(before, billed.folder / "var")

    assert billing(billed, "database", "mark-restored").returncode == 0
    for _ in range(4):
        billed.run("2026-04-01")
    assert Counter(billed.due_dates(live=False)) == charged
    # Nothing is unknown, planned or parked any more; and nobody is given up on the day of a first reminder.
    assert {payment["state"] for payment in billed.payments()} == {"open"}


def test_the_word_of_a_person_goes_into_the_log(billed: Business) -> None:
    from billing.store import events

    with billed.store() as db:
        mark_restored_by_hand(db, utc_now())
        with db.read() as tx:
            assert [line.action for line in events.every(tx)][-1] == "database_restored"
