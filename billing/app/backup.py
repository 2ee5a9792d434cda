"""A consistent copy of a database that is in use, which knows that it is a copy."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from billing.app.decisions import actor
from billing.config import Config
from billing.errors import StoreError, UsageError
from billing.lifecycle.restore import restored_by_hand, settle_doubt
from billing.store.connection import Database
from billing.store.identity import mark_as_copy


def back_up(config: Config, target: Path, now: datetime, *, force: bool = False) -> int:
    """Copy the live SQLite database into a new file that only its owner can read; returns its size in bytes.

    The copy is verified before it gets its name, and marked: whichever cycle opens it first knows that
    it was restored, and checks Mileston before it charges. Raises `UsageError` for what can't be copied
    or overwritten, `StoreError` if the copy fails.
    """
    source = config.sqlite_path
    if source is None:
        raise UsageError(
            "this command copies only SQLite; back up PostgreSQL with `pg_dump --format=custom`. After a "
            "restore, run `billing database mark-restored` before the next cycle"
        )
    _check(source, target, force)
    try:
        temporary = _new_private_file(target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from error
    try:
        _copy(source, temporary)
        mark_as_copy(temporary, now)
        _check_integrity(temporary)
        size = _sync(temporary)
        _give_name(temporary, target, force)
        return size
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"the backup failed, and {target} was not changed: {error}") from error
    finally:
        for leftover in (temporary, *(Path(f"{temporary}{end}") for end in ("-journal", "-wal", "-shm"))):
            with suppress(FileNotFoundError):
                leftover.unlink()


def _check(source: Path, target: Path, force: bool) -> None:
    if not source.exists():
        raise UsageError(
            f"there is no database {source} yet, so nothing to back up; the first cycle creates it"
        )
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target} is the database itself; name another file")
    if target.is_dir():
        raise UsageError(f"{target} is a directory; name a file in it")
    if target.exists() and not force:
        raise UsageError(f"{target} exists; name another file, or add --force to overwrite it")


def _new_private_file(target: Path) -> Path:
    """An empty file, mode 0600, beside the target: a rename can't cross file systems."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    return Path(name)


def _copy(source: Path, copy: Path) -> None:
    """In one go: a copy in steps starts over whenever somebody writes, and may never end."""
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=30)) as live,
        closing(sqlite3.connect(copy)) as new,
    ):
        live.backup(new)
        # One file, without a journal beside it that a person would have to copy along.
        new.execute("PRAGMA journal_mode = DELETE")


def _check_integrity(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as new:
        found = [row[0] for row in new.execute("PRAGMA integrity_check(3)")]
        if found != ["ok"]:
            raise sqlite3.DatabaseError(f"its integrity check says: {'; '.join(map(str, found))}")
        broken = new.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise sqlite3.DatabaseError(f"a row of {broken[0]} refers to one that is not there")


def _sync(copy: Path) -> int:
    with copy.open("rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size


def _give_name(copy: Path, target: Path, force: bool) -> None:
    """Without `force` an existing file stays, also one that came about this very moment."""
    if force:
        os.replace(copy, target)
    else:
        try:
            os.link(copy, target)
        except OSError as error:
            # Some file systems have no hard links; there a file of this very moment would be lost.
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP) or target.exists():
                raise
            os.rename(copy, target)
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def trust_by_hand(db: Database, now: datetime) -> bool:
    """A person says that nothing is missing in a database that may be a copy.

    Returns whether it was doubted.
    """
    with db.transaction() as tx:
        return settle_doubt(tx, actor(), now, "a person said so")


def mark_restored_by_hand(db: Database, now: datetime) -> None:
    """A person says that this database was restored: the next cycle checks Mileston before it charges."""
    with db.transaction() as tx:
        restored_by_hand(tx, actor(), now)
