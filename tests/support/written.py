"""What stands in the database after a verb: rows, log and outbox, and whether nothing changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Table, select

from billing.store import payments, subscriptions
from billing.store.connection import Database
from billing.store.models import events, identity, notices
from billing.store.models import payments as payment_table
from billing.store.models import subscriptions as subscription_table

TABLES = (subscription_table, payment_table, notices, events, identity)


class Logged(NamedTuple):
    """One line of the log without its id."""

    actor: str
    action: str
    detail: str
    subscription_id: int | None = None
    payment_id: int | None = None


def rows_of(db: Database, table: Table) -> list[Any]:
    """All rows of a table, oldest first."""
    with db.read() as tx:
        return list(tx.execute(select(table).order_by(table.c.id)))


def log_of(db: Database) -> list[Logged]:
    """The whole log, oldest first."""
    return [
        Logged(row.actor, row.action, row.detail, row.subscription_id, row.payment_id)
        for row in rows_of(db, events)
    ]


def outbox_of(db: Database) -> list[tuple[str, str, int | None]]:
    """(kind, dedupe key, payment) of every notice, oldest first."""
    return [(row.kind, row.dedupe_key, row.payment_id) for row in rows_of(db, notices)]


def payment_of(db: Database, payment_id: int) -> Any:
    """A payment with its subscription, as the callers of the verbs have read it."""
    with db.transaction() as tx:
        return payments.find(tx, payment_id)


def subscription_of(db: Database, reference: str = "acme") -> Any:
    with db.transaction() as tx:
        return subscriptions.find(tx, reference)


@contextmanager
def nothing_changes(db: Database) -> Iterator[None]:
    """Not a row of any table may be another afterwards, no event be added and no notice queued."""
    before = [rows_of(db, table) for table in TABLES]
    yield
    assert [rows_of(db, table) for table in TABLES] == before
