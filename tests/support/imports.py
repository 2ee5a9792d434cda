"""What the tests of importing share: files of a good row's variants, and what is then stored."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from billing.app.csv_rows import REQUIRED
from billing.app.importing import ImportResult, import_csv
from billing.config import Settings
from billing.store import subscriptions
from billing.store.connection import Database
from billing.store.models import events
from tests.support.databases import NOW, a_payment, set_subscription

D = date.fromisoformat
LATER = NOW + timedelta(days=1)
SETTINGS = Settings()
only_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
BOTH = (*REQUIRED, "bill_from", "ends_on", "locale")
GOOD = {
    "reference": "acme",
    "plan": "Gold plan",
    "name": "Zoë Quillfeather",
    "email": "zoe@example.org",
    "amount": "19.90",
    "interval": "1 month",
    "starts_on": "2026-01-31",
}


def csv_file(*rows: dict[str, str]) -> io.BytesIO:
    text = io.StringIO()
    writer = csv.DictWriter(text, BOTH)
    writer.writeheader()
    writer.writerows([GOOD | row for row in rows])
    return io.BytesIO(text.getvalue().encode())


def load(db: Database, *rows: dict[str, str], now: Any = NOW, **options: Any) -> ImportResult:
    """Import rows that differ from a good one in what is given; without any, the good one."""
    return import_csv(db, csv_file(*(rows or ({},))), SETTINGS, now, "person:zoe", **options)


def counts(result: ImportResult) -> tuple[int, int, int]:
    return result.added, result.updated, result.unchanged


def row_of(db: Database, reference: str = "acme") -> Any:
    with db.read() as connection:
        return subscriptions.by_references(connection, [reference])[reference]


def size(db: Database) -> int:
    with db.read() as connection:
        return subscriptions.count(connection)


def log(db: Database) -> list[tuple[str, str, int]]:
    with db.read() as connection:
        rows = connection.execute(select(events).order_by(events.c.id))
        return [(row.actor, row.action, row.subscription_id) for row in rows]


def change(db: Database, **values: Any) -> None:
    with db.transaction() as tx:
        set_subscription(tx, row_of(db).id, NOW, **values)


def billed(db: Database, due_on: str, period: int) -> None:
    """As after a cycle that planned everything up to this due date."""
    row = row_of(db)
    a_payment(db, row.id, D(due_on), period=period, state="open")
    terms = subscriptions.terms_of(row)
    change(db, next_period=period + 1, next_due_on=terms.next_due_on(period + 1))
