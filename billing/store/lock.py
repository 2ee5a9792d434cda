"""One cycle at a time on SQLite: two locks that the kernel gives back when their process dies.

One is on a byte of the database itself, so that it holds by whatever path the database was opened,
and also after somebody removed the lock file. The other is on the lock file beside it: it holds where
the first can't be had (other systems than Linux), and when the database was replaced in mid-run.

Closing any descriptor of a file takes away every ordinary lock that the process has on it, also those
that SQLite holds for another thread. So the database's descriptor stays open between cycles.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from billing.errors import AlreadyRunning, StoreError
from billing.store.private_files import open_private_file, real_path, refuse_foreign

# Far behind all data, and behind the bytes that SQLite locks (512 of them at 1 GiB).
_LOCKED_BYTE = 1 << 62
_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_ATTEMPTS = 10


class CycleLock:
    """The held lock. The file also remembers the highest generation of the database it stands beside."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _locked_file(path)

    def generation(self) -> int:
        text = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0

    def remember(self, generation: int) -> None:
        """Written in one block of fixed width, so a crash leaves the old number or the new one."""
        if not _is_at(self._descriptor, self._path):
            self._make_anew()
        os.pwrite(self._descriptor, f"{generation:020d}\n".encode(), 0)

    def _make_anew(self) -> None:
        """Somebody removed the file. The lock on the database has kept others out meanwhile."""
        try:
            anew = _locked_file(self._path)
        except AlreadyRunning:
            message = "was removed while a cycle ran, and another one has made it anew; leave it alone"
            raise StoreError(f"{self._path} {message}") from None
        os.close(self._descriptor)
        self._descriptor = anew

    def release(self) -> None:
        os.close(self._descriptor)


@contextmanager
def cycle_lock(database: Path) -> Iterator[CycleLock]:
    """Hold the lock of the only cycle on a SQLite file. Raises `AlreadyRunning` at once if it is taken.

    The database is made if it is missing, and the lock file stays: only the kernel's locks count, so
    nothing stale is ever left behind. Raises `StoreError` where locks can't be had, and for a database
    that is somebody else's or has several names.
    """
    path = real_path(database)
    with _locked_database(path):
        lock = CycleLock(path.with_name(path.name + ".lock"))
        try:
            yield lock
        finally:
            lock.release()


def _locked_file(path: Path) -> int:
    """A descriptor of the lock file, locked."""
    for _ in range(_ATTEMPTS):
        descriptor = open_private_file(path)
        try:
            with _refusals(path):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # removed between the two: that lock would keep nobody out
    raise StoreError(f"{path} is removed again and again; find out what removes it")


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the path still names the file that is open."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _TAKEN:
            raise AlreadyRunning("another cycle is running on this database; nothing was done") from None
        raise StoreError(
            f"{path}: its file system grants no locks ({error.strerror}), so two cycles could charge at "
            "once; put the database on a local disk, or use PostgreSQL (database.url)"
        ) from error


@dataclass
class _Opened:
    """A database file that this process has open for its lock."""

    descriptor: int
    held: bool = False


_opened: dict[tuple[int, int], _Opened] = {}
"""By device and inode, which no other file can have while it is open."""
_mutex = threading.Lock()
# A child shares its parent's descriptors, and with them the locks: it has to open its own.
os.register_at_fork(after_in_child=_opened.clear)


@contextmanager
def _locked_database(path: Path) -> Iterator[None]:
    if sys.platform != "linux":
        os.close(open_private_file(path))
        yield
        return
    with _mutex:
        opened = _lock_database(path)
        opened.held = True
    try:
        yield
    finally:
        with _mutex:
            _set_lock(opened.descriptor, fcntl.F_UNLCK)
            opened.held = False


def _lock_database(path: Path) -> _Opened:
    _close_removed()
    for _ in range(_ATTEMPTS):
        opened = _open_database(path)
        if opened.held:
            raise AlreadyRunning("another cycle is running on this database; nothing was done")
        with _refusals(path):
            _set_lock(opened.descriptor, fcntl.F_WRLCK)
        if _is_at(opened.descriptor, path):
            return opened
        _set_lock(opened.descriptor, fcntl.F_UNLCK)
    raise StoreError(f"{path} is replaced again and again; find out what replaces it")


def _set_lock(descriptor: int, kind: int) -> None:
    """A lock of the open file, not of the process: it excludes other threads' as well. Raises `OSError`."""
    lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)


def _open_database(path: Path) -> _Opened:
    try:
        found = os.lstat(path)
    except OSError:
        pass  # there is none yet, or opening it says why not
    else:
        known = _opened.get((found.st_dev, found.st_ino))
        if known is not None:
            refuse_foreign(path, found)
            return known
    descriptor = open_private_file(path)
    found = os.fstat(descriptor)
    return _opened.setdefault((found.st_dev, found.st_ino), _Opened(descriptor))


def _close_removed() -> None:
    """Databases that have no name any more are of no use to anybody."""
    for key, opened in list(_opened.items()):
        if not opened.held and os.fstat(opened.descriptor).st_nlink == 0:
            os.close(opened.descriptor)
            del _opened[key]
