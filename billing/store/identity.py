"""Whose database it is, and what it remembers of itself."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path

from sqlalchemy import create_engine, select, update

from billing.errors import WrongDatabase
from billing.store.bulk import insert_rows
from billing.store.connection import Database
from billing.store.models import identity
from billing.store.tx import Tx


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


def restored_on(tx: Tx) -> date | None:
    """Up to which due date remote payments may exist that this database has forgotten, or None."""
    return tx.execute(select(identity.c.restored_on)).scalar()


def begin_generation(tx: Tx) -> int:
    """Begin the next generation, which tells this database from every copy made before; returns it."""
    next_one = update(identity).values(generation=identity.c.generation + 1)
    return int(tx.execute(next_one.returning(identity.c.generation)).scalar_one())


def generation(db: Database) -> int:
    """How many generations this database has begun: one before, at and after each cycle."""
    with db.read() as tx:
        return int(tx.execute(select(identity.c.generation)).scalar_one())


def reminder_offsets(tx: Tx) -> str | None:
    """What the stored reminder days were computed with."""
    return tx.execute(select(identity.c.reminder_offsets)).scalar()


def set_reminder_offsets(tx: Tx, key: str) -> None:
    tx.execute(update(identity).values(reminder_offsets=key))


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose database it is; `copied_at` is set in a backup copy, until a run has noticed it."""

    environment: str
    business_fingerprint: str
    copied_at: datetime | None


def read_identity(tx: Tx) -> Identity | None:
    """None for a database that no run has made its own yet."""
    row = tx.execute(
        select(identity.c.environment, identity.c.business_fingerprint, identity.c.copied_at)
    ).first()
    return Identity(*row) if row is not None else None


def mark_as_copy(file: Path, now: datetime) -> None:
    """Write into a SQLite file that it is a backup copy: whoever opens it knows that it was restored."""
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(file))
    try:
        with engine.begin() as tx:
            tx.execute(update(identity).values(copied_at=now))
    finally:
        engine.dispose()


def longest_list(tx: Tx) -> int:
    """The length of the longest list that the API has shown."""
    return int(tx.execute(select(identity.c.longest_list)).scalar() or 0)


def note_list(tx: Tx, length: int) -> None:
    """A list of this length was shown."""
    tx.execute(update(identity).where(identity.c.longest_list < length).values(longest_list=length))


def bind_namespace(tx: Tx, namespace: str) -> str | None:
    """Fix the namespace with the first payment that is sent; returns another one that was fixed before."""
    fixed = tx.execute(select(identity.c.namespace)).scalar()
    if fixed is None:
        tx.execute(update(identity).where(identity.c.namespace.is_(None)).values(namespace=namespace))
    return fixed if fixed is not None and fixed != namespace else None


def fixed_namespace(tx: Tx) -> str | None:
    """The namespace that this database's payments bear; None before the first is sent."""
    return tx.execute(select(identity.c.namespace)).scalar()
