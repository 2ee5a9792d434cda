"""What stands around a database and tells one from another: the facts of the file system and the server.

The program of today remembers a generation in the lock beside an SQLite file, and nothing else
(`worker.ModelLock`). A program that remembers more reads it here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Place:
    """On SQLite inodes and a ctime; on PostgreSQL what the server says of itself."""

    inode: int = 1
    """Of the database's file."""
    stamp_inode: int = 1
    """Of a file beside it that is written once and never again."""
    stamp_ctime: int = 1
    system_identifier: int = 1
    timeline: int = 1
    identity_oid: int = 1

    def put_back(self, how: str) -> None:
        """A folder is put back: with new files (`inode`), into the old ones (`ctime`), or as a whole
        virtual machine (`snapshot`), of which nothing here tells."""
        if how == "inode":
            self.inode += 1
            self.stamp_inode += 1
        if how in ("inode", "ctime"):
            self.stamp_ctime += 1

    def file_put_back(self) -> None:
        """The file of the database alone is another one now."""
        self.inode += 1

    def dump_restored(self) -> None:
        self.identity_oid += 1

    def promoted(self) -> None:
        self.timeline += 1
