"""Opening the database safely: its settings, and its transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import StaticPool

from billing.errors import ConfigError, StoreError
from billing.store.tx import Tx

_BUSY_SECONDS = 30
_CHECKED = "billing_checked"
"""In a connection's `info`: the check that it has passed."""
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
        self._check: Callable[[Tx], None] | None = None

    @property
    def file(self) -> Path | None:
        """The SQLite file, or None for PostgreSQL and databases in memory."""
        name = self.url.database
        return Path(name) if self.is_sqlite and name and name != ":memory:" else None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction: committed at the end, rolled back on any exception."""
        with _domain_errors(), self.engine.begin() as tx:
            if self._check is not None and tx.info.get(_CHECKED) is not self._check:
                self._check(tx)
                tx.info[_CHECKED] = self._check
            yield tx

    def check_new_connections(self, check: Callable[[Tx], None]) -> None:
        """Call `check` once on every connection, before its first write; what it raises ends the write."""
        self._check = check

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


def password_of(url: str) -> str:
    """The password in a database's URL, or '' if there is none to be found."""
    try:
        return str(make_url(url).password or "")
    except ArgumentError:
        return ""


_EXAMPLES = "write for example 'sqlite:///var/billing.db' or 'postgresql://user@host/billing'"


def _make_private_file(path: Path) -> None:
    """Make the file if it is missing, and never touch one that is there.

    Closing any descriptor of a file drops all POSIX locks that this process holds on it, SQLite's own too:
    another process could then write in the middle of our transaction.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
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
