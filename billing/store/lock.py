"""One cycle at a time on SQLite: a lock that the kernel gives back when its process dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from billing.errors import AlreadyRunning, StoreError


class CycleLock:
    """The held lock. The file also remembers the highest generation of the database it stands beside."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def generation(self) -> int:
        text = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0

    def remember(self, generation: int) -> None:
        """Written in one block of fixed width, so a crash leaves the old number or the new one."""
        os.pwrite(self._descriptor, f"{generation:020d}\n".encode(), 0)


@contextmanager
def cycle_lock(database: Path) -> Iterator[CycleLock]:
    """Hold the cycle's lock beside the SQLite file. Raises `AlreadyRunning` at once if it is taken.

    The file itself stays: only the kernel's lock on it counts, so nothing stale is ever left behind.
    """
    path = database.with_name(database.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path} can't be opened: {error.strerror}; check its permissions") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning("another cycle is running on this database; nothing was done") from None
        yield CycleLock(descriptor)
    finally:
        os.close(descriptor)
