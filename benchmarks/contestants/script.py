"""The bytes that every contestant posts, and the records of those that keep some."""

from __future__ import annotations

import json
import sqlite3

import psycopg

HEADERS = {
    "apikey": "key_0123456789abcdef0123456789",
    "businessid": "business_0123456789",
    "Content-Type": "application/json",
}


def url(api: str) -> str:
    return f"{api}/create?businessName=Example%20Business"


def body(number: int) -> str:
    """The create payload, as the program writes it."""
    return json.dumps(
        {
            "amount": "19.90",
            "subscriptionName": f"Gold plan [RB-{number:016d}]",
            "subscriberFullName": f"Zoë Quillfeather {number}",
            "subscriberEmail": f"zoe.quillfeather.{number}@example.org",
            "currentPaymentStatus": "unpaid",
            "recurringDate": "2026-02-01T00:00:00.000Z",
            "recurringInterval": 28,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


_SCHEMA = (
    "CREATE TABLE payments (id INTEGER PRIMARY KEY, body TEXT NOT NULL, state TEXT NOT NULL, remote_id TEXT)"
)
_ADD = "INSERT INTO payments VALUES (?, ?, 'due', NULL)"
DONE = "UPDATE payments SET state = 'open', remote_id = ? WHERE id = ?"


def sqlite_records(path: str, count: int) -> sqlite3.Connection:
    """A table of payments that are due."""
    connection = sqlite3.connect(path)
    connection.execute(_SCHEMA)
    connection.executemany(_ADD, ((number, body(number)) for number in range(1, count + 1)))
    connection.commit()
    return connection


def count_open(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM payments WHERE state = 'open'").fetchone()[0])


_PG_SCHEMA = """
    CREATE TABLE payments (id INTEGER PRIMARY KEY, state TEXT NOT NULL DEFAULT 'due', remote_id TEXT)
"""
PG_DONE = "UPDATE payments SET state = 'open', remote_id = %(remote_id)s WHERE id = %(payment_id)s"
PG_OPEN = "SELECT count(*) FROM payments WHERE state = 'open'"


def postgresql_records(database: str, count: int) -> None:
    """A table of payments that are due, numbered from 0."""
    with psycopg.connect(database) as connection:
        connection.execute(_PG_SCHEMA)
        connection.execute("INSERT INTO payments (id) SELECT generate_series(0, %s)", (count - 1,))
