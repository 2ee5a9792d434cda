"""Where a database lives: what tells it from a copy of itself that was put in its place.

PostgreSQL: the server's system identifier (another server), its timeline (a standby was promoted, or a
backup restored to a point in time) and the oid of our `identity` table (a dump was restored). SQLite: the
inode of the file, and the inode and change time of a file beside it that is written once and never again.
The device and the machine do not count: both change without any harm.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from billing.core.reasons import ANOTHER_FILE
from billing.errors import StoreError
from billing.store.connection import Database
from billing.store.tx import Tx

_POSTGRESQL = text(
    "SELECT (SELECT system_identifier FROM pg_control_system())::text, "
    "CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END, "
    "'identity'::regclass::oid::text"
)
_CAUSES = (
    "it runs on another PostgreSQL server than before",
    "its PostgreSQL server changed its timeline: a standby was promoted, or a backup was restored",
    "its tables were made anew: a dump was restored",
)


@dataclass(frozen=True, slots=True)
class Home:
    """`key` is what the database remembers; `since` is when a copy was put here, as the files tell it."""

    key: str
    strong: bool
    since: datetime | None = None

    def reason(self, remembered: str) -> str:
        """Why a database that remembers another home is to be doubted, or ''."""
        if not remembered:
            # It was never asked where it lives. A later timeline tells of a change all the same.
            first = self.key.split("/")[1:2] == ["00000001"] or not self.strong
            return "" if first else _CAUSES[1]
        if remembered == self.key:
            return ""
        if not self.strong:
            return ANOTHER_FILE
        for cause, now, before in zip(_CAUSES, self.key.split("/"), remembered.split("/"), strict=False):
            if now != before:
                return cause
        return _CAUSES[0]


def home_of(db: Database, tx: Tx) -> Home | None:
    """Where the database lives now; None in memory. Raises StoreError if that can't be read."""
    if not db.is_sqlite:
        system, timeline, oid = tx.execute(_POSTGRESQL).one()
        return Home(f"{system}/{timeline}/{oid}", strong=True)
    if db.file is None:
        return None
    try:
        stamp = _stamp(db.file)
        file = db.file.stat()
    except OSError as error:
        raise StoreError(f"the files beside {db.file} can't be read: {error.strerror}") from error
    since = datetime.fromtimestamp(max(file.st_ctime, stamp.st_ctime), UTC)
    return Home(f"{file.st_ino}/{stamp.st_ino}/{stamp.st_ctime_ns}", strong=False, since=since)


def _stamp(file: Path) -> os.stat_result:
    """The file beside the database, written once; its inode and change time are its message."""
    path = file.with_name(f"{file.name}.home")
    with suppress(FileExistsError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        os.write(descriptor, b"This file tells billing whether its database was copied. Leave it as it is.\n")
        os.close(descriptor)
    return path.lstat()


def on_new_connection(db: Database, remembered: Home) -> None:
    """From here on every new connection must still lead to `remembered`, before its first write.

    A write on one that does not raises StoreError: a server that was replaced in mid-run may have lost
    what was sent.
    """

    def check(tx: Tx) -> None:
        found = home_of(db, tx)
        if found is not None and found.strong and (reason := found.reason(remembered.key)):
            raise StoreError(
                f"the database changed in the middle of this run: {reason}; nothing more is sent, "
                "and the next run checks Mileston before it charges"
            )

    db.check_new_connections(check)
