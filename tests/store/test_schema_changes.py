"""Migrations of a database that holds rows: each version with rows in it comes to the newest."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

import billing.store.schema as schema_module
from billing.errors import StoreError
from billing.store.connection import Database
from billing.store.schema import SCHEMA_HEAD, migrate, version_in
from billing.store.schema_changes import allow, change_check, refuse
from tests.support.databases import a_subscription

MIGRATIONS = Path(schema_module.__file__).parent / "migrations"
OLD_ROWS = (
    """INSERT INTO subscriptions (id, reference, plan, name, email, amount_micros, interval_count,
         interval_unit, anchor_on, status, next_period, created_at, updated_at)
       VALUES (1, 's1', 'Gold', 'Ada', 'ada@example.com', 5000000, 1, 'month', '2026-01-01', 'active', 1,
         '2026-01-01', '2026-01-01')""",
    """INSERT INTO payments (id, subscription_id, period, due_on, period_end_on, amount_micros, marker, state,
         cause, attention, attempts, absent_looks, look_step, dunning_step, created_at, updated_at)
       VALUES (1, 1, 0, '2026-01-01', '2026-01-31', 5000000, 'RB-ABCDEFGHIJKLMNOP', 'rejected', 'no', '', 1,
         0, 0, 0, '2026-01-01', '2026-01-01')""",
)
UNITS = "interval_unit IN ('day', 'week', 'month', 'year')"


def script() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def revisions() -> list[str]:
    return sorted(each.revision for each in ScriptDirectory.from_config(script()).walk_revisions())


@pytest.mark.parametrize("revision", revisions())
def test_a_database_with_rows_comes_from_every_version_to_the_newest(
    empty_database_url: str, revision: str
) -> None:
    db = Database(empty_database_url)
    config = script()
    with db.transaction() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, revision)
        for row in OLD_ROWS:
            tx.execute(text(row))

    migrate(db)

    with db.read() as tx:
        assert version_in(tx) == SCHEMA_HEAD
        assert tx.execute(text("SELECT reference FROM subscriptions")).scalars().all() == ["s1"]
    with pytest.raises(StoreError, match="illegal transition"), db.transaction() as tx:
        tx.execute(text("UPDATE payments SET state = 'paid', remote_id = 'r', paid_at = '2026-01-02'"))
    with db.transaction() as tx:
        assert tx.execute(text("UPDATE payments SET state = 'unknown'")).rowcount == 1
    db.close()


def test_a_check_that_is_changed_keeps_rows_and_refuses_by_its_new_rule(db: Database) -> None:
    a_subscription(db)
    with db.transaction() as tx:
        change_check(tx, "subscriptions", "ck_subscriptions_unit", UNITS, "interval_unit IN ('month', 'eon')")
    with db.transaction() as tx:
        assert tx.execute(text("UPDATE subscriptions SET interval_unit = 'eon'")).rowcount == 1
    with pytest.raises(StoreError), db.transaction() as tx:
        tx.execute(text("UPDATE subscriptions SET interval_unit = 'week'"))


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_check_that_says_something_else_is_not_changed(db: Database) -> None:
    with pytest.raises(RuntimeError, match="ck_subscriptions_unit"), db.transaction() as tx:
        change_check(tx, "subscriptions", "ck_subscriptions_unit", "interval_unit IN ('day')", "TRUE")


def test_a_refusal_can_be_taken_away_and_made_anew(db: Database) -> None:
    a_subscription(db)
    with db.transaction() as tx:
        refuse(tx, "no_plans", "subscriptions", "UPDATE", "NEW.plan <> OLD.plan", "no other plan")
    with pytest.raises(StoreError, match="no other plan"), db.transaction() as tx:
        tx.execute(text("UPDATE subscriptions SET plan = 'Silver'"))
    with db.transaction() as tx:
        allow(tx, "no_plans", "subscriptions")
        assert tx.execute(text("UPDATE subscriptions SET plan = 'Silver'")).rowcount == 1
