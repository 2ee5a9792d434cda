"""Files that are ours alone: no link is followed, nobody else's file is used, and nobody else may look in."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from billing.errors import StoreError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, with mode 0700. Raises `OSError`.

    One that is there already stays as it is.
    """
    if path.is_dir():
        return
    make_private_folder(path.parent)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:  # another process made it just now, or it is a file
        if not path.is_dir():
            raise


def open_private_file(path: Path) -> int:
    """A descriptor to read and write a file, which is made with mode 0600 if it is missing.

    Raises `StoreError` if it can't be opened, or is a link, no ordinary file, somebody else's, or has
    a second name: writing to it would change a file that somebody else may have chosen.
    """
    try:
        make_private_folder(path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"{path} is a link; remove it, or name the file itself") from error
        raise StoreError(f"{path} can't be opened: {error.strerror}; check its permissions") from error
    try:
        found = os.fstat(descriptor)
        refuse_foreign(path, found)
        if found.st_mode & _OTHERS:
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def refuse_foreign(path: Path, found: os.stat_result) -> None:
    """Raise `StoreError` unless this is an ordinary file of ours with a single name."""
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{path} is no ordinary file; remove it, or name another in database.url")
    if found.st_uid != os.geteuid():
        raise StoreError(
            f"{path} belongs to user {found.st_uid}, and this is user {os.geteuid()}; "
            f"run as that user, or: chown {os.geteuid()} {path}"
        )
    if found.st_nlink > 1:
        raise StoreError(f"{path} has a second name (a hard link); remove that, so that all use this one")


def real_path(path: Path) -> Path:
    """Where a path leads once every link is followed. Raises `StoreError` for a link that leads nowhere.

    Made through such a link, a new file would hide the one on a disk that is not mounted yet.
    """
    try:
        for each in (path, *path.parents):
            if each.is_symlink() and not each.exists():
                raise StoreError(
                    f"{each} is a link to {os.readlink(each)}, which is not there; "
                    "mount or make that, or correct database.url"
                )
        return Path(os.path.realpath(path))
    except OSError as error:
        raise StoreError(f"{path} can't be opened: {error.strerror}; check its permissions") from error
