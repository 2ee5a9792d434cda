"""What migrations do again and again, on SQLite and PostgreSQL, to tables that hold rows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

_TABLE_SQL = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"


def change_check(tx: Connection, table: str, name: str, old: str, new: str) -> None:
    """Give the CHECK constraint `name` the condition `new` instead of `old`, both as they stand in SQL.

    SQLite can't change one: the text of its schema is changed, as its documentation allows for
    constraints, and so rows, triggers and references stay. Raises RuntimeError if `old` does not stand there.
    """
    if tx.dialect.name != "sqlite":
        tx.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        tx.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({new})")
        return
    was = str(tx.exec_driver_sql(_TABLE_SQL, (table,)).scalar_one())
    before, after = f"CONSTRAINT {name} CHECK ({old})", f"CONSTRAINT {name} CHECK ({new})"
    if was.count(before) != 1:
        raise RuntimeError(f"the constraint {name} of {table} is not {old}")
    version = int(tx.exec_driver_sql("PRAGMA schema_version").scalar_one())
    tx.exec_driver_sql("PRAGMA writable_schema = ON")
    tx.exec_driver_sql(
        "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?",
        (was.replace(before, after), table),
    )
    tx.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    tx.exec_driver_sql("PRAGMA writable_schema = OFF")


def refuse(tx: Connection, name: str, table: str, when: str, condition: str, message: str) -> None:
    """Let the database itself refuse a change (`when`: UPDATE or DELETE) that meets the condition."""
    if tx.dialect.name == "sqlite":
        tx.exec_driver_sql(
            f"CREATE TRIGGER tr_{name} BEFORE {when} ON {table} WHEN {condition} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
        return
    tx.exec_driver_sql(
        f"CREATE FUNCTION refuse_{name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$"
    )
    tx.exec_driver_sql(
        f"CREATE TRIGGER tr_{name} BEFORE {when} ON {table} FOR EACH ROW WHEN ({condition}) "
        f"EXECUTE FUNCTION refuse_{name}()"
    )


def allow(tx: Connection, name: str, table: str) -> None:
    """Take a refusal away, to make another in its place."""
    if tx.dialect.name == "sqlite":
        tx.exec_driver_sql(f"DROP TRIGGER tr_{name}")
        return
    tx.exec_driver_sql(f"DROP TRIGGER tr_{name} ON {table}")
    tx.exec_driver_sql(f"DROP FUNCTION refuse_{name}()")


def payments_move_along(tx: Connection, pairs: Sequence[str]) -> None:
    """Replace the table of transitions that the database holds; `pairs` like "planned>held"."""
    allow(tx, "payments_transition", "payments")
    listed = ", ".join(f"'{pair}'" for pair in pairs)
    refuse(
        tx,
        "payments_transition",
        "payments",
        "UPDATE",
        f"OLD.state <> NEW.state AND OLD.state || '>' || NEW.state NOT IN ({listed})",
        "illegal transition of a payment",
    )
