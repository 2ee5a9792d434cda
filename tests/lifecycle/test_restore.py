"""A database that may have forgotten what it sent: noticed by its marks or its home, doubted, and settled."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from billing.core.reasons import FROM_BACKUP
from billing.lifecycle import restore
from billing.lifecycle.restore import Doubt
from billing.store.connection import Database
from billing.store.home import Home
from billing.store.models import identity, payments
from tests.support.databases import NOW, TODAY, a_payment, a_subscription, owned
from tests.support.written import Logged, log_of, nothing_changes, payment_of, rows_of

DAY = timedelta(days=1)
LATER = NOW + timedelta(hours=1)
ACTOR = "run:run-1"
FILE, OTHER_FILE = Home("11/12/13", strong=False), Home("21/22/23", strong=False, since=NOW)
SERVER, OTHER_SERVER = Home("1/00000001/16384", strong=True), Home("2/00000001/16384", strong=True)


@pytest.fixture
def owned_db(db: Database) -> Database:
    return owned(db)


def remember(db: Database, **values: Any) -> None:
    """What the database remembers of itself."""
    with db.transaction() as tx:
        tx.execute(update(identity).values(values))


def identity_of(db: Database) -> Any:
    (row,) = rows_of(db, identity)
    return row


def noticed(db: Database, seen_generation: int = 0, home: Home | None = None) -> str:
    with db.transaction() as tx:
        return restore.mark_restored(tx, ACTOR, LATER, TODAY, seen_generation, home)


def doubted(db: Database) -> Doubt | None:
    with db.read() as tx:
        return restore.doubt(tx)


# -- was it restored? ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remembered", "seen", "home", "reason"),
    [
        ({"copied_at": NOW}, 0, None, "it is a restored backup"),
        ({"generation": 6}, 7, None, "it is older than what was last used here"),
        (
            {"home": SERVER.key},
            0,
            OTHER_SERVER,
            "it runs on another PostgreSQL server than before",
        ),
    ],
)
def test_a_restored_database_is_noticed_with_its_reason_and_looks_before_it_sends(
    owned_db: Database, remembered: dict[str, Any], seen: int, home: Home | None, reason: str
) -> None:
    remember(owned_db, doubt="an older doubt", doubt_since=NOW, **remembered)
    planned = a_payment(owned_db, a_subscription(owned_db))
    assert noticed(owned_db, seen, home) == reason
    after = payment_of(owned_db, planned)
    assert (after.state, after.deadline_at) == ("unknown", LATER)
    own = identity_of(owned_db)
    assert (own.copied_at, own.restored_on) == (None, TODAY)
    assert own.generation == max(seen, remembered.get("generation", 0))
    assert (own.doubt, own.doubt_since) == ("", None)  # a certainty is no doubt
    assert log_of(owned_db) == [Logged(ACTOR, "database_restored", reason)]


def test_what_was_unknown_in_the_backup_is_looked_for_as_what_the_backup_forgot(owned_db: Database) -> None:
    remember(owned_db, copied_at=NOW)
    row_id = a_payment(owned_db, a_subscription(owned_db), state="unknown", cause="no answer", absent_looks=1)
    noticed(owned_db)
    after = payment_of(owned_db, row_id)
    assert (after.state, after.cause) == ("unknown", FROM_BACKUP)
    assert (after.deadline_at, after.absent_looks) == (LATER, 0)


def test_what_was_noticed_once_is_not_noticed_again(owned_db: Database) -> None:
    remember(owned_db, copied_at=NOW, generation=3, home=SERVER.key)
    assert noticed(owned_db, 7, OTHER_SERVER)
    with nothing_changes(owned_db):
        assert noticed(owned_db, 7, OTHER_SERVER) == ""


@pytest.mark.parametrize(
    ("home", "remembered"), [(None, ""), (FILE, FILE.key), (SERVER, SERVER.key), (None, FILE.key)]
)
def test_a_database_that_is_where_it_was_is_believed(
    owned_db: Database, home: Home | None, remembered: str
) -> None:
    remember(owned_db, home=remembered, generation=7)
    a_payment(owned_db, a_subscription(owned_db))
    with nothing_changes(owned_db):
        assert noticed(owned_db, 7, home) == ""


def test_a_database_that_was_never_asked_remembers_where_it_lives(owned_db: Database) -> None:
    planned = a_payment(owned_db, a_subscription(owned_db))
    assert noticed(owned_db, home=FILE) == ""
    assert identity_of(owned_db).home == FILE.key
    assert (payment_of(owned_db, planned).state, log_of(owned_db)) == ("planned", [])


# -- a doubt, and what settles it ----------------------------------------------------------------------


@pytest.mark.parametrize(("since", "from_then"), [(NOW, NOW), (None, LATER), (LATER + DAY, LATER)])
def test_another_file_is_a_doubt_since_it_was_put_there_and_no_payment_is_touched(
    owned_db: Database, since: Any, from_then: Any
) -> None:
    remember(owned_db, home=FILE.key)
    planned = a_payment(owned_db, a_subscription(owned_db))
    home = Home(OTHER_FILE.key, strong=False, since=since)
    assert noticed(owned_db, home=home) == ""
    reason = home.reason(FILE.key)
    assert reason
    assert doubted(owned_db) == Doubt(reason, from_then)
    assert payment_of(owned_db, planned).state == "planned"
    assert identity_of(owned_db).home == home.key
    assert log_of(owned_db) == [Logged(ACTOR, "database_doubted", reason)]


def test_a_doubt_stays_until_it_is_settled_though_the_home_is_known_by_then(owned_db: Database) -> None:
    remember(owned_db, home=FILE.key)
    noticed(owned_db, home=OTHER_FILE)
    before = doubted(owned_db)
    with nothing_changes(owned_db):
        noticed(owned_db, home=OTHER_FILE)
    assert doubted(owned_db) == before is not None


def test_a_doubt_is_settled_once(owned_db: Database) -> None:
    remember(owned_db, doubt="another file", doubt_since=NOW)
    with owned_db.transaction() as tx:
        assert restore.settle_doubt(tx, ACTOR, LATER, "the list shows nothing new")
    assert doubted(owned_db) is None
    assert log_of(owned_db) == [Logged(ACTOR, "database_trusted", "the list shows nothing new")]
    with nothing_changes(owned_db), owned_db.transaction() as tx:
        assert not restore.settle_doubt(tx, ACTOR, LATER, "again")


def test_a_database_that_nobody_owns_yet_is_in_no_doubt(db: Database) -> None:
    assert doubted(db) is None


# -- said by a person, and what is then looked for -----------------------------------------------------


def test_what_a_person_says_is_noticed_by_the_next_cycle(owned_db: Database) -> None:
    with owned_db.transaction() as tx:
        restore.restored_by_hand(tx, "person:zoe", NOW)
    assert identity_of(owned_db).copied_at == NOW
    assert log_of(owned_db) == [Logged("person:zoe", "database_restored", "said by a person")]
    assert noticed(owned_db) == "it is a restored backup"


def test_what_is_planned_is_looked_for_and_nothing_else_is_touched(owned_db: Database) -> None:
    subscription = a_subscription(owned_db)
    states = ("planned", "planned", "held", "open", "paid", "void", "unknown")
    ids = [
        a_payment(owned_db, subscription, TODAY + n * DAY, state=state, absent_looks=2)
        for n, state in enumerate(states)
    ]
    with owned_db.transaction() as tx:
        assert restore.require_lookup(tx, TODAY, LATER, "a lost one") == 2
    rows = [payment_of(owned_db, row_id) for row_id in ids]
    assert [row.state for row in rows] == ["unknown", "unknown", *states[2:]]
    assert [(row.cause, row.deadline_at, row.absent_looks) for row in rows[:2]] == [
        ("a lost one", LATER, 0)
    ] * 2
    assert {row.absent_looks for row in rows[2:]} == {2}


@pytest.mark.parametrize(
    ("before", "after"), [(None, TODAY), (TODAY - DAY, TODAY), (TODAY + DAY, TODAY + DAY)]
)
def test_the_day_through_which_is_looked_never_goes_back(owned_db: Database, before: Any, after: Any) -> None:
    remember(owned_db, restored_on=before)
    with owned_db.transaction() as tx:
        restore.require_lookup(tx, TODAY, LATER, "a lost one")
    assert identity_of(owned_db).restored_on == after
    assert rows_of(owned_db, payments) == []
