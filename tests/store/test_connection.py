"""Opening a database: its settings, its transactions, and errors that name nobody."""

import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from billing.core.event_text import EventAction
from billing.errors import ConfigError, StoreError
from billing.store import subscriptions
from billing.store.connection import Database, wal_is_safe
from billing.store.events import event, record
from billing.store.models import events, payments
from billing.store.models import subscriptions as table
from billing.store.schema import migrate
from tests.support.databases import NOW, a_payment, a_subscription, payment_values, set_subscription

only_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
EMAIL = "planted.person@example.org"


def pragma(db: Database, name: str) -> Any:
    with db.read() as connection:
        return connection.execute(text(f"PRAGMA {name}")).scalar_one()


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_file_and_its_directory_are_made_and_the_file_is_private(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/var/deep/billing.db")
    migrate(db)
    assert db.file == tmp_path / "var/deep/billing.db"
    assert [mode_of(path) for path in db.file.parent.iterdir()] == [0o600]
    db.close()


def test_the_files_beside_it_are_private_too_while_it_is_written(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/billing.db")
    migrate(db)
    with db.transaction() as tx:
        record(tx, [event(NOW, "run:1", EventAction.ADDED)] * 100)
        beside = [path for path in tmp_path.iterdir() if path != db.file]
        assert beside
        assert {mode_of(path) for path in beside} == {0o600}
    db.close()


@only_sqlite
def test_sqlite_is_set_to_lose_nothing(db: Database) -> None:
    journal, synchronous = ("wal", 2) if wal_is_safe() else ("delete", 3)
    assert pragma(db, "journal_mode") == journal
    assert pragma(db, "synchronous") == synchronous
    assert pragma(db, "foreign_keys") == 1
    assert pragma(db, "busy_timeout") == 30_000


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 9), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_the_write_ahead_log_is_used_only_where_its_bug_is_mended(
    version: tuple[int, int, int], safe: bool
) -> None:
    assert wal_is_safe(version) is safe


def test_what_is_done_in_a_failed_transaction_is_undone(db: Database) -> None:
    def fail() -> None:
        with db.transaction() as tx:
            record(tx, [event(NOW, "run:1", EventAction.ADDED)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with db.read() as connection:
        assert connection.execute(select(events)).all() == []


def test_a_reader_sees_what_was_committed_and_does_not_wait_for_a_writer(db: Database) -> None:
    with db.transaction() as tx:
        record(tx, [event(NOW, "run:1", EventAction.ADDED)])
        with db.read() as connection:
            assert connection.execute(select(events)).all() == []
    with db.read() as connection:
        assert len(connection.execute(select(events)).all()) == 1


def at_once(count: int, work: Callable[[], None]) -> None:
    """Run `work` in so many threads that start together."""
    barrier = threading.Barrier(count)

    def one() -> None:
        barrier.wait()
        work()

    with ThreadPoolExecutor(count) as pool:
        for started in [pool.submit(one) for _ in range(count)]:
            started.result()


def test_concurrent_read_modify_writes_lose_nothing(db: Database, database_url: str) -> None:
    a_subscription(db, amount_micros=1)

    def add_ten() -> None:
        own = Database(database_url)
        for _ in range(10):
            with own.transaction() as tx:
                row = subscriptions.find(tx, "acme")
                assert row is not None
                set_subscription(tx, row.id, NOW, amount_micros=row.amount_micros + 1)
        own.close()

    at_once(4, add_ten)
    with db.read() as connection:
        assert connection.execute(select(table.c.amount_micros)).scalar_one() == 41


def test_amounts_and_instants_come_back_exactly(db: Database) -> None:
    largest = 999_999_999_999_999
    with db.transaction() as tx:
        tx.execute(update(table).values(amount_micros=1))
    subscription = a_subscription(db, amount_micros=largest, created_at=NOW.replace(microsecond=123_456))
    a_payment(db, subscription, amount_micros=largest)
    with db.read() as connection:
        row = connection.execute(select(table)).one()
        assert row.amount_micros == largest
        assert row.created_at == NOW.replace(microsecond=123_456)
        assert row.created_at.utcoffset() is not None
        assert connection.execute(select(payments.c.amount_micros)).scalar_one() == largest


def test_an_instant_without_a_zone_is_refused(db: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)naive|timezone|tzinfo|aware"):
        a_subscription(db, created_at=NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    "bad",
    [
        {"marker": "taken"},  # UNIQUE
        {"marker": "new", "state": "nonsense"},  # CHECK
        {"marker": "new", "amount_micros": None},  # NOT NULL
        {"marker": "new", "subscription_id": 4711},  # FOREIGN KEY
    ],
)
def test_what_the_database_refuses_is_told_without_values(db: Database, bad: dict[str, Any]) -> None:
    subscription = a_subscription(db, email=EMAIL)
    a_payment(db, subscription, marker="taken", cause=EMAIL)
    row = payment_values(subscription, NOW.date().replace(day=2), cause=EMAIL) | bad
    with pytest.raises(StoreError, match="the database refused") as refused, db.transaction() as tx:
        tx.execute(insert(payments).values(row))
    assert EMAIL not in str(refused.value)
    assert "example" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_trigger_that_refuses_says_what_rule_was_broken(db: Database) -> None:
    payment = a_payment(db, a_subscription(db, email=EMAIL), state="void")
    with (
        pytest.raises(StoreError, match="illegal transition of a payment") as refused,
        db.transaction() as tx,
    ):
        tx.execute(update(payments).where(payments.c.id == payment).values(state="planned"))
    assert EMAIL not in str(refused.value)


def test_a_duplicate_reference_is_refused_without_naming_it(db: Database) -> None:
    a_subscription(db, reference=EMAIL)
    with pytest.raises(StoreError) as refused:
        a_subscription(db, reference=EMAIL)
    assert EMAIL not in "".join(traceback.format_exception(refused.value))


def test_a_server_that_cannot_be_reached_is_a_passing_fault_and_its_password_is_not_shown() -> None:
    db = Database("postgresql://me:hunter2@127.0.0.1:1/billing")
    with pytest.raises(StoreError, match="refused") as failed, db.read():
        pass
    assert not failed.value.permanent
    assert "hunter2" not in str(failed.value)
    db.close()


@pytest.mark.parametrize("path", ["/proc/no/billing.db", "/dev/null/billing.db"])
def test_a_file_that_cannot_be_made_is_told_with_its_path(path: str) -> None:
    with pytest.raises(StoreError, match=r"can't be opened: .*; check database\.url and its permissions"):
        Database(f"sqlite:///{path}")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "billing.db").write_text(
        "this is no database, but a text that is long enough to look at\n" * 20
    )
    db = Database(f"sqlite:///{tmp_path / 'billing.db'}")
    with pytest.raises(StoreError, match="not a database"):
        migrate(db)
    db.close()


@pytest.mark.parametrize("url", ["billing.db", "mysql://me:hunter2@db/billing", "oracle://x", "sqlite"])
def test_another_kind_of_database_is_a_fault_of_the_configuration(url: str) -> None:
    with pytest.raises(ConfigError, match=r"database\.url: ") as refused:
        Database(url)
    assert refused.value.exit_code == 78
    assert "hunter2" not in str(refused.value)


def test_a_database_in_memory_works_for_a_look_ahead() -> None:
    db = Database("sqlite:///:memory:")
    migrate(db)
    a_subscription(db)
    assert db.file is None
    with db.read() as connection:
        assert subscriptions.count(connection) == 1
    db.close()


@only_postgresql
def test_sessions_on_postgresql_bear_the_programs_name(db: Database) -> None:
    with db.read() as connection:
        assert connection.execute(text("SHOW application_name")).scalar_one() == "billing"
        assert db.file is None
