"""Migrations: an empty database becomes the models' schema, once, and a newer one is left alone."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlmodel import SQLModel

import billing.store.schema as schema_module
from billing.errors import WrongDatabase
from billing.store.connection import Database
from billing.store.schema import SCHEMA_HEAD, migrate
from tests.support.databases import a_subscription

MIGRATIONS = Path(schema_module.__file__).parent / "migrations"
MIGRATE = (
    "import sys; from billing.store.connection import Database; from billing.store.schema import migrate; "
    "migrate(Database(sys.argv[1]))"
)


@pytest.fixture
def empty(empty_database_url: str) -> Database:
    return Database(empty_database_url)


def version(db: Database) -> str:
    with db.read() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def test_an_empty_database_is_brought_to_the_head(empty: Database) -> None:
    migrate(empty)
    assert version(empty) == SCHEMA_HEAD
    a_subscription(empty)
    empty.close()


def test_the_head_that_the_program_names_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_HEAD]


def test_migrating_again_changes_nothing(db: Database) -> None:
    a_subscription(db)
    migrate(db)
    assert version(db) == SCHEMA_HEAD
    with db.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM subscriptions")).scalar_one() == 1


def test_the_migrated_schema_is_that_of_the_models(db: Database) -> None:
    with db.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, SQLModel.metadata) == []


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_the_migrated_checks_are_those_of_the_models(db: Database, tmp_path: Path) -> None:
    # Alembic does not compare CHECK constraints, and they carry the promises.
    modelled = Database(f"sqlite:///{tmp_path / 'models.db'}")
    with modelled.transaction() as tx:
        SQLModel.metadata.create_all(tx)

    def checks(of: Database) -> dict[str, dict[str | None, str]]:
        look = inspect(of.engine)
        return {
            table: {check["name"]: check["sqltext"] for check in look.get_check_constraints(table)}
            for table in SQLModel.metadata.tables
        }

    assert checks(db) == checks(modelled)
    modelled.close()


def test_a_newer_database_is_refused_and_left_as_it_is(db: Database) -> None:
    with db.transaction() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(WrongDatabase, match=r"has schema 9999, newer than this program's") as refused:
        migrate(db)
    assert refused.value.exit_code == 78
    assert version(db) == "9999"


def test_processes_that_migrate_at_once_all_succeed(empty_database_url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, empty_database_url]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    db = Database(empty_database_url)
    assert version(db) == SCHEMA_HEAD
    a_subscription(db)
    db.close()


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_second_migration_waits_for_the_first(empty: Database) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with ThreadPoolExecutor(1) as pool:
        with empty.transaction() as tx:
            tx.execute(text("SELECT pg_advisory_xact_lock(7233501)"))  # as another process that migrates
            second = pool.submit(migrate, empty)
            while not (seen := tx.execute(waiting).scalar_one()) and not second.done():
                sleep(0.01)
            assert (seen, second.done()) == (1, False)
        second.result()
    assert version(empty) == SCHEMA_HEAD
    empty.close()


def test_a_migration_that_fails_leaves_nothing_half_done(empty: Database) -> None:
    with empty.transaction() as tx:
        tx.execute(text("CREATE TABLE notices (id INTEGER PRIMARY KEY)"))  # in the way
    with pytest.raises(Exception, match="notices"):
        migrate(empty)
    assert inspect(empty.engine).get_table_names() == ["notices"]
    empty.close()
