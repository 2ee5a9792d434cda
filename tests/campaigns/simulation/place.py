"""What stands around a database and tells one from another: the facts of the file system and the server.

What follows from them is the program's own business (`billing.store.home`, `billing.lifecycle.restore`);
the model only says what it would have read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from unittest.mock import patch

from billing.app import runtime
from billing.store import home
from billing.store.home import Home


@dataclass(slots=True)
class Place:
    """On SQLite inodes and a ctime; on PostgreSQL what the server says of itself."""

    is_file: bool
    inode: int = 1
    """Of the database's file."""
    stamp_inode: int = 1
    """Of a file beside it that is written once and never again."""
    stamp_ctime: int = 1
    since: datetime | None = None
    """When another file was last put here."""
    system_identifier: int = 1
    timeline: int = 1
    identity_oid: int = 1

    def put_back(self, how: str, now: datetime) -> None:
        """A folder is put back: with new files (`inode`), into the old ones (`ctime`), or as a whole
        virtual machine (`snapshot`), of which nothing here tells."""
        if how == "inode":
            self.inode += 1
            self.stamp_inode += 1
        if how in ("inode", "ctime"):
            self.stamp_ctime += 1
            self.since = now

    def file_put_back(self, now: datetime) -> None:
        """The file of the database alone is another one now."""
        self.inode += 1
        self.since = now

    def dump_restored(self) -> None:
        self.identity_oid += 1

    def promoted(self) -> None:
        self.timeline += 1

    def home(self) -> Home:
        """As the program would read it."""
        if self.is_file:
            key = f"{self.inode}/{self.stamp_inode}/{self.stamp_ctime}"
            return Home(key, strong=False, since=self.since)
        return Home(f"{self.system_identifier}/{self.timeline:08X}/{self.identity_oid}", strong=True)

    @contextmanager
    def is_where_it_lives(self) -> Iterator[None]:
        """For so long the program finds its database here. A database in memory has no place of its own."""

        def home_of(*_database: object) -> Home:
            return self.home()

        with patch.object(home, "home_of", home_of), patch.object(runtime, "home_of", home_of):
            yield
