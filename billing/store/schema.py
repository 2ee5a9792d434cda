"""The schema: an empty or older database is brought to this program's, a newer one is refused."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from billing.errors import WrongDatabase
from billing.store.connection import Database
from billing.store.tx import Tx

SCHEMA_HEAD = "0008"
"""The newest migration; the command line compares it without importing Alembic."""


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
        version = version_in(tx)
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
        return version_in(connection)


def version_in(tx: Tx) -> str | None:
    """The schema that a database has, or None if it has no tables yet."""
    if not tx.dialect.has_table(tx, "alembic_version"):
        return None
    return tx.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(tx: Tx) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = tx
    command.upgrade(config, "head")
