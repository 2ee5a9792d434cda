"""The real database in memory: migrated once, copied for each world, and dying with its process."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from billing.errors import StoreError
from billing.store.connection import Database
from billing.store.identity import claim_identity
from billing.store.schema import migrate

from .loop import Process

if TYPE_CHECKING:
    from .witness import Witness

# The simulation's own log of transitions: written by the same transaction, so rolled back with it.
_TRANSITIONS = """
CREATE TABLE sim_transitions (id INTEGER PRIMARY KEY, payment_id INTEGER, old TEXT, new TEXT, cause TEXT);
CREATE TRIGGER sim_planned AFTER INSERT ON payments BEGIN
  INSERT INTO sim_transitions (payment_id, old, new, cause) VALUES (NEW.id, '', NEW.state, NEW.cause); END;
CREATE TRIGGER sim_moved AFTER UPDATE OF state ON payments WHEN OLD.state <> NEW.state BEGIN
  INSERT INTO sim_transitions (payment_id, old, new, cause)
  VALUES (NEW.id, OLD.state, NEW.state, NEW.cause); END;
"""


class InjectedFault(StoreError):
    """The database refused because the world wanted it to."""


class SharedStore:
    """One database in memory for this Python process, and the image that every world begins with."""

    def __init__(self) -> None:
        self.database = Database("sqlite:///:memory:")
        migrate(self.database)
        claim_identity(self.database, "sandbox", "simulated")
        with self.database.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
        self.raw: sqlite3.Connection = raw
        self.raw.executescript(_TRANSITIONS)
        self._fresh = self.image()
        self.on_commit: Callable[[], None] = lambda: None
        """What the world does whenever something was committed."""

    def image(self) -> sqlite3.Connection:
        """A copy of everything that is committed now."""
        copy = sqlite3.connect(":memory:")
        self.raw.backup(copy)
        return copy

    def load(self, image: sqlite3.Connection) -> None:
        image.backup(self.raw)

    def clear(self) -> None:
        self.load(self._fresh)

    def renew_connections(self) -> None:
        """Every connection is a new one from now on, and none has been checked."""
        with self.database.engine.connect() as connection:
            connection.info.clear()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """A look at the image, past the program's own code."""
        return self.raw.execute(query, values).fetchall()


@cache
def shared_store() -> SharedStore:
    """SQLAlchemy compiles each statement once for each engine, so all worlds share one."""
    return SharedStore()


class ProcessDatabase(Database):
    """One process's handle on the database: it dies with the process, before or after a commit."""

    def __init__(
        self, store: SharedStore, process: Process, witness: Witness, rng: Random, faults: float
    ) -> None:
        self._check = None
        self.url = store.database.url
        self.is_sqlite = True
        self.engine = store.database.engine
        self._check = None
        self._store = store
        self._process = process
        self.is_connection_lost: Callable[[], bool] = lambda: False
        """Asked once before each use: whether the server went away since."""
        self._witness = witness
        self._rng = rng
        self._faults = faults

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        self._process.point("transaction")
        self._connected()
        if self._faults and self._rng.random() < self._faults:
            raise InjectedFault("the database refused: injected")
        with super().transaction() as tx:
            yield tx
            self._process.point("before-commit")
        self._witness.committed(self._process.name)
        self._store.on_commit()
        self._process.point("committed")

    def _connected(self) -> None:
        if self.is_connection_lost():
            raise InjectedFault("the server closed the connection: a standby was promoted")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self._process.point("read")
        self._connected()
        with super().read() as connection:
            yield connection
