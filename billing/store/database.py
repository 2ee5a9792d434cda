"""Opening the database safely: settings, transactions, migrations, and whose database it is."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import StaticPool

from billing.core.states import PaymentState
from billing.errors import ConfigError, StoreError, WrongDatabase
from billing.store.bulk import insert_rows
from billing.store.models import identity, payments
from billing.store.payments import NOT_LOOKED

SCHEMA_HEAD = "0002"
"""The newest migration; the command line compares it without importing Alembic."""

_BUSY_SECONDS = 30
# Before these versions a WAL reset with two connections could corrupt the database.
_WAL_SAFE = ((3, 51, 3),)
_WAL_BACKPORTS = {(3, 50): 7, (3, 44): 6}


class Database:
    """A SQLite or PostgreSQL database that holds one business's billing.

    `transaction()` writes, `read()` reads; both raise `StoreError` for what the database refuses.
    On SQLite a write transaction takes its lock at once (BEGIN IMMEDIATE), so a read-modify-write
    can't lose an update.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url = make_url(url)
        except ArgumentError as error:
            raise ConfigError([f"database.url: not a database URL; {_EXAMPLES}"]) from error
        if self.url.get_backend_name() not in ("sqlite", "postgresql"):
            raise ConfigError([f"database.url: {self.url.get_backend_name()} is not supported; {_EXAMPLES}"])
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = self._sqlite() if self.is_sqlite else self._postgresql()

    @property
    def file(self) -> Path | None:
        """The SQLite file, or None for PostgreSQL and databases in memory."""
        name = self.url.database
        return Path(name) if self.is_sqlite and name and name != ":memory:" else None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction: committed at the end, rolled back on any exception."""
        with _domain_errors(), self.engine.begin() as tx:
            yield tx

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view that takes no write lock."""
        options = {"billing_read": True}
        with _domain_errors(), self.engine.connect().execution_options(**options) as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()

    def _sqlite(self) -> Engine:
        path = self.file
        arguments: dict[str, Any] = {"check_same_thread": False, "timeout": _BUSY_SECONDS}
        if path is None:
            engine = create_engine(
                self.url, poolclass=StaticPool, connect_args=arguments, hide_parameters=True
            )
        else:
            _make_private_file(path)
            engine = create_engine(self.url, connect_args=arguments, hide_parameters=True)
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _postgresql(self) -> Engine:
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                ["database.url: PostgreSQL needs psycopg: pip install 'recurring-billing[postgres]'"]
            ) from error
        url = self.url.set(drivername="postgresql+psycopg")
        return create_engine(
            url, hide_parameters=True, pool_pre_ping=True, connect_args={"application_name": "billing"}
        )


_EXAMPLES = "write for example 'sqlite:///var/billing.db' or 'postgresql://user@host/billing'"


def _make_private_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(
            f"the database {path} can't be opened: {error.strerror}; check database.url and its permissions"
        ) from error


def wal_is_safe(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Whether this SQLite has the fix of the WAL-reset bug."""
    backport = _WAL_BACKPORTS.get((version[0], version[1]))
    return version >= _WAL_SAFE[0] or (backport is not None and version[2] >= backport)


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transactions begin too late; ours begin in _begin_sqlite.
    connection.isolation_level = None
    cursor = connection.cursor()
    # A committed intent must survive a power cut: lost, it would be sent again.
    mode, synchronous = ("WAL", "FULL") if wal_is_safe() else ("DELETE", "EXTRA")
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
    cursor.execute(f"PRAGMA journal_mode = {mode}")
    cursor.execute(f"PRAGMA synchronous = {synchronous}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("billing_read", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextmanager
def _domain_errors() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        # Not chained: PostgreSQL's details hold whole rows, and a traceback would show them.
        raise StoreError(f"the database refused: {_safe_words(error)}") from None


def _safe_words(error: DBAPIError) -> str:
    """The driver's message without values: PostgreSQL's detail lines would name people."""
    diagnosis = getattr(error.orig, "diag", None)
    words = getattr(diagnosis, "message_primary", None) or str(error.orig).splitlines()[0]
    if "locked" in words:
        words += f" (another program has held it for {_BUSY_SECONDS} s; end that one, then try again)"
    return words


def migrate(database: Database) -> None:
    """Bring an empty or older database to this program's schema, in one transaction.

    Raises `WrongDatabase` if a newer program made it.
    """
    version = _version(database)
    if version == SCHEMA_HEAD:
        return
    _refuse_newer(version)
    with database.transaction() as tx:
        if database.is_sqlite:
            tx.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        else:
            tx.exec_driver_sql("SELECT pg_advisory_xact_lock(7233501)")
        version = _version_in(tx)
        _refuse_newer(version)
        if version != SCHEMA_HEAD:
            _upgrade(tx)


def _refuse_newer(version: str | None) -> None:
    if version is not None and version > SCHEMA_HEAD:
        raise WrongDatabase(
            f"database.url: this database has schema {version}, newer than this program's {SCHEMA_HEAD}; "
            "install the version of the program that made it, or a later one"
        )


def _version(database: Database) -> str | None:
    with database.read() as connection:
        return _version_in(connection)


def _version_in(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(tx: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = tx
    command.upgrade(config, "head")


def fingerprint(business_id: str) -> str:
    """What the database keeps of a business id: enough to tell two apart, not enough to read it."""
    return sha256(f"recurring-billing business\n{business_id}".encode()).hexdigest()[:16]


def claim_identity(database: Database, environment: str, business_id: str) -> None:
    """Make the database this environment's and business's own, or refuse it if it is another's.

    Raises `WrongDatabase`: a copy of live data that is pointed at the sandbox, or the other way
    round, must not touch anything.
    """
    mark = fingerprint(business_id)
    ours = {"id": 1, "environment": environment, "business_fingerprint": mark}
    with database.transaction() as tx:
        # Of several first runs at once one makes the row, and the others wait here for it.
        insert_rows(tx, identity, [ours | {"generation": 0, "reminder_offsets": ""}], skip_known=True)
        row = tx.execute(select(identity.c.environment, identity.c.business_fingerprint)).one()
    if row.environment != environment:
        raise WrongDatabase(
            f"database.url: this database belongs to the {row.environment} environment, and "
            f"mileston.environment is {environment!r}; use another database"
        )
    if row.business_fingerprint != mark:
        raise WrongDatabase(
            "database.url: this database belongs to another business than MILESTON_BUSINESS_ID names; "
            "use that business's database"
        )


_PERHAPS_SENT = (
    PaymentState.UNKNOWN,
    PaymentState.SENDING,
    PaymentState.HELD,
    PaymentState.REJECTED,
    PaymentState.PARKED,
)


def restored_on(tx: Connection) -> date | None:
    """Up to which due date remote payments may exist that this database has forgotten, or None."""
    return tx.execute(select(identity.c.restored_on)).scalar()


def mark_restored(tx: Connection, today: date, now: datetime, seen_generation: int) -> bool:
    """If this database came back from a backup, note it: look before sending, from now on.

    It did if it is marked as a copy, or if `seen_generation`, remembered outside of it, is ahead of
    its own. Answers whether it did.
    """
    row = tx.execute(select(identity)).one()
    if row.copied_at is None and row.generation >= seen_generation:
        return False
    tx.execute(update(identity).values(copied_at=None, generation=max(row.generation, seen_generation)))
    # What the lost time sent last may be on its way still, and no list shows it yet.
    perhaps_sent = payments.c.state.in_([state.value for state in _PERHAPS_SENT])
    tx.execute(update(payments).where(perhaps_sent).values(deadline_at=now, **NOT_LOOKED))
    require_lookup(tx, today, now, "the database came back from a backup")
    return True


def require_lookup(tx: Connection, today: date, now: datetime, cause: str) -> int:
    """What is due through `today` may exist at Mileston though this database knows nothing of it.

    What it believes unsent is looked for as if it had been sent now, and so is what it plans from now
    on; answers how many payments that were.
    """
    tx.execute(update(identity).values(restored_on=today))
    unsent = payments.c.state == PaymentState.PLANNED.value
    values = {"state": PaymentState.UNKNOWN.value, "cause": cause, "deadline_at": now, **NOT_LOOKED}
    return tx.execute(update(payments).where(unsent).values(**values)).rowcount


def advance(tx: Connection) -> int:
    """Begin the next generation, which tells this database from every copy made before; answers it."""
    tx.execute(update(identity).values(generation=identity.c.generation + 1))
    return int(tx.execute(select(identity.c.generation)).scalar_one())


def generation(db: Database) -> int:
    """How often this database has advanced: before, at and after each cycle."""
    with db.read() as connection:
        return int(connection.execute(select(identity.c.generation)).scalar_one())
