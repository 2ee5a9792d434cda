"""Where a database lives: a copy in its place is told from it, and what harms nobody is not."""

import os
import shutil
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from billing.errors import StoreError
from billing.store.connection import Database
from billing.store.home import Home, home_of, on_new_connection
from billing.store.models import identity
from billing.store.schema import migrate
from tests.support.databases import a_subscription, owned

only_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
FILE = Home("11/12/13", strong=False)
SERVER = Home("7000/00000001/16384", strong=True)


def home(db: Database) -> Home:
    with db.read() as tx:
        found = home_of(db, tx)
    assert found is not None
    return found


def file_of(db: Database) -> Path:
    assert db.file is not None
    return db.file


def stamp_of(db: Database) -> Path:
    return file_of(db).with_name(f"{file_of(db).name}.home")


# -- reasons -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "remembered", "reason"),
    [
        (FILE, "", ""),
        (FILE, FILE.key, ""),
        (FILE, "11/12/14", "its file is not the one that was last used"),
        (FILE, "10/12/13", "its file is not the one that was last used"),
        (SERVER, "", ""),
        (SERVER, SERVER.key, ""),
        (SERVER, "7001/00000001/16384", "it runs on another PostgreSQL server than before"),
        (SERVER, "7001/00000002/9", "it runs on another PostgreSQL server than before"),
        (SERVER, "7000/00000002/16384", "its PostgreSQL server changed its timeline"),
        (SERVER, "7000//16384", "its PostgreSQL server changed its timeline"),
        (SERVER, "7000/00000001/16999", "its tables were made anew: a dump was restored"),
        (SERVER, "11/12/13/14", "it runs on another PostgreSQL server than before"),
        (SERVER, "7000", "it runs on another PostgreSQL server than before"),
        (replace(SERVER, key="7000/00000002/16384"), "", "its PostgreSQL server changed its timeline"),
    ],
)
def test_the_first_thing_that_differs_is_the_reason(now: Home, remembered: str, reason: str) -> None:
    said = now.reason(remembered)
    assert said.startswith(reason)
    assert bool(said) == bool(reason)


# -- a file --------------------------------------------------------------------------------------------


@only_sqlite
def test_a_file_stays_at_home_when_it_is_written_to_or_its_folder_is_renamed(db: Database) -> None:
    before = home(db)
    assert not before.strong
    a_subscription(db)
    file_of(db).chmod(0o640)
    os.utime(file_of(db))
    assert home(db).reason(before.key) == ""
    db.engine.dispose()
    folder = file_of(db).parent
    moved = folder.rename(folder.with_name(f"{folder.name}-moved"))
    again = Database(f"sqlite:///{moved / file_of(db).name}")
    assert home(again).reason(before.key) == ""
    again.close()
    moved.rename(folder)


@only_sqlite
@pytest.mark.parametrize("what", ["the file", "the file beside it", "both"])
def test_a_copy_in_its_place_is_another_home(db: Database, what: str) -> None:
    before = home(db)
    db.engine.dispose()
    for path in {"the file": [file_of(db)], "the file beside it": [stamp_of(db)]}.get(
        what, [file_of(db), stamp_of(db)]
    ):
        copy = path.with_name("copy")
        shutil.copy2(path, copy)
        copy.replace(path)
    after = home(db)
    assert after.reason(before.key)
    assert after.since is not None
    assert before.since is not None
    assert after.since >= before.since


@only_sqlite
def test_the_file_beside_it_is_private_written_once_and_says_what_it_is(db: Database) -> None:
    home(db)
    first = stamp_of(db).stat()
    assert stat.S_IMODE(first.st_mode) == 0o600
    assert b"whether its database was copied" in stamp_of(db).read_bytes()
    home(db)
    assert (stamp_of(db).stat().st_ino, stamp_of(db).stat().st_ctime_ns) == (first.st_ino, first.st_ctime_ns)


@only_sqlite
def test_a_lost_file_beside_it_is_made_anew_and_is_a_reason_to_look(db: Database) -> None:
    before = home(db)
    stamp_of(db).rename(stamp_of(db).with_name("lost"))
    after = home(db)
    assert stamp_of(db).exists()
    assert after.reason(before.key)


@only_sqlite
def test_no_link_beside_it_is_followed(db: Database, tmp_path: Path) -> None:
    stamp_of(db).symlink_to(tmp_path / "elsewhere")
    home(db)
    assert not (tmp_path / "elsewhere").exists()


@only_sqlite
def test_since_when_it_lives_there_is_told_by_its_files(db: Database) -> None:
    began = datetime.fromtimestamp(file_of(db).stat().st_ctime, UTC)
    since = home(db).since
    assert since is not None
    assert since >= began


@only_sqlite
def test_a_file_that_is_gone_is_told(db: Database) -> None:
    with db.read() as tx:
        tx.execute(select(identity.c.id))
        file_of(db).rename(file_of(db).with_name("gone"))
        with pytest.raises(StoreError, match=r"the files beside .* can't be read: No such file"):
            home_of(db, tx)
    file_of(db).with_name("gone").rename(file_of(db))


def test_a_database_in_memory_lives_nowhere() -> None:
    db = Database("sqlite:///:memory:")
    migrate(db)
    with db.read() as tx:
        assert home_of(db, tx) is None
    db.close()


# -- a server ------------------------------------------------------------------------------------------


@only_postgresql
def test_a_server_is_known_by_its_identifier_its_timeline_and_our_table(db: Database) -> None:
    found = home(db)
    system, timeline, table = found.key.split("/")
    assert found.strong
    assert int(system) > 0
    assert timeline == "00000001"
    assert int(table) > 0
    db.engine.dispose()
    assert home(db) == found


@only_postgresql
def test_a_server_that_was_replaced_in_mid_run_is_written_to_by_no_new_connection(db: Database) -> None:
    owned(db)
    system, timeline, table = home(db).key.split("/")
    on_new_connection(db, Home(f"{int(system) + 1}/{timeline}/{table}", strong=True))
    db.engine.dispose()
    with pytest.raises(StoreError, match=r"changed in the middle of this run: it runs on another PostgreSQL"):
        a_subscription(db)
    with db.read() as tx:  # reading is no harm
        assert len(tx.execute(select(identity)).all()) == 1


def test_a_connection_that_leads_to_the_same_place_writes_on(db: Database) -> None:
    on_new_connection(db, home(db))
    a_subscription(db, "first")
    db.engine.dispose()
    a_subscription(db, "second")


@only_sqlite
def test_of_a_file_no_connection_is_refused_for_it_is_only_a_weak_reason(db: Database) -> None:
    on_new_connection(db, Home("1/2/3", strong=False))
    a_subscription(db)
